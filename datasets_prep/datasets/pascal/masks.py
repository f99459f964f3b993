"""Label maps of SegmentationClassAug: VOC's palette PNGs and SBD's `.mat` files as index PNGs."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import UNREADABLE, open_image
from datasets_prep.formats.matfile import read_mat
from datasets_prep.prepared.records import IGNORE, labels_sha256
from datasets_prep.runtime.whole import whole_file

CLASSES = 20

_ORIGIN = "Origin"


def read_voc(path: Path) -> NDArray[np.uint8]:
    """The label map of a VOC annotation: uint8 H×W, 0 background, 1..20 classes, 255 void.

    Raises:
        DatasetError: naming the file, if it is no such PNG.
    """
    try:
        with open_image(path) as image:
            if image.mode not in ("P", "L"):
                raise DatasetError(f"{path} has mode {image.mode}, not one index a pixel")
            labels = np.asarray(image, dtype=np.uint8)
    except UNREADABLE as error:
        raise DatasetError(f"{path} is not a readable PNG: {error}") from None
    _check_values(path, labels, void=True)
    return labels


def read_sbd(path: Path) -> NDArray[np.uint8]:
    """The label map of an SBD annotation, `GTcls.Segmentation`: as for VOC, but never void.

    Raises:
        DatasetError: naming the file, if it is no such `.mat`.
    """
    labels = read_mat(
        path, "GTcls", lambda found: np.asarray(found[0, 0]["Segmentation"]), "GTcls.Segmentation"
    )
    if labels.ndim != 2 or labels.dtype.kind not in "ui" or labels.size == 0:
        raise DatasetError(f"{path}: Segmentation is {labels.dtype} {labels.shape}, not an image")
    if not np.array_equal(labels, labels.astype(np.uint8)):
        raise DatasetError(f"{path} has labels beyond 0..{CLASSES}")
    labels = labels.astype(np.uint8)
    _check_values(path, labels, void=False)
    return labels


def converted(source: Path, target: Path) -> NDArray[np.uint8]:
    """The label map of `source`, kept as a single-channel PNG at `target`.

    A PNG of an earlier run is good if it names the source's bytes and its own pixels by hash;
    any other is written anew. Writing is atomic.

    Args:
        source: VOC's `.png` or SBD's `.mat`.
        target: the PNG to keep.

    Raises:
        DatasetError: naming the source, if it cannot be read.
    """
    try:
        origin = hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError as error:
        raise DatasetError(f"{source} cannot be read: {error.strerror}") from None
    labels = _kept(target, origin)
    if labels is None:
        labels = read_sbd(source) if source.suffix == ".mat" else read_voc(source)
        _write(target, labels, origin)
    return labels


def _kept(path: Path, origin: str) -> NDArray[np.uint8] | None:
    try:
        with open_image(path) as image:
            if not isinstance(image, PngImageFile) or image.mode != "L":
                return None
            labels = np.asarray(image, dtype=np.uint8)
            good = image.text.get(_ORIGIN) == f"{origin} {labels_sha256(labels)}"
    except UNREADABLE:
        return None
    return labels if good else None


def _write(path: Path, labels: NDArray[np.uint8], origin: str) -> None:
    info = PngInfo()
    info.add_text(_ORIGIN, f"{origin} {labels_sha256(labels)}")
    with whole_file(path) as partial:
        Image.fromarray(labels).save(partial, format="PNG", pnginfo=info)


def _check_values(path: Path, labels: NDArray[np.uint8], *, void: bool) -> None:
    allowed = labels <= CLASSES
    if void:
        allowed |= labels == IGNORE
    if not allowed.all():
        wrong = ", ".join(map(str, np.unique(labels[~allowed])[:5]))
        raise DatasetError(f"{path} has labels that no class has: {wrong}")
