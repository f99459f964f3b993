"""A tiny PASCAL-5i in the real formats: VOC's tar, SBD's tgz and the list files."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.archives.sources import SourceFile
from datasets_prep.datasets.pascal.release import Release

HEIGHT, WIDTH, STRIPE = 96, 160, 32
SPARSE = "2009_000099"  # class 1 on three grid points, class 2 large but between them
BOTH_TRAIN, BOTH_TEST = "2008_000001", "2007_000000"  # annotated by VOC and by SBD
VOC_FOLDER, SBD_FOLDER = "VOCdevkit/VOC2012", "benchmark_RELEASE/dataset"

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class TinyPascal:
    """Where the archives lie and what is in them.

    `voc` and `sbd` hold the label maps of each by image id; VOC's have void borders.
    """

    folder: Path
    release: Release
    voc: Mapping[str, Labels]
    sbd: Mapping[str, Labels]
    train: tuple[str, ...]
    val: tuple[str, ...]
    test_pairs: tuple[tuple[str, int], ...]
    train_pairs: tuple[tuple[str, int], ...]

    @property
    def labels(self) -> dict[str, Labels]:
        """What preparation must give for each image."""
        return {**self.sbd, **self.voc}


def write_tiny_pascal(folder: Path) -> TinyPascal:
    """Write archives and lists into `folder` and describe them."""
    folder.mkdir(parents=True, exist_ok=True)
    train = (BOTH_TRAIN, "2008_000007")
    voc = {f"2007_00000{n}": _stripes(n % 4, void=True) for n in range(8)}
    voc[SPARSE] = _sparse()
    val = tuple(sorted(voc))
    voc |= {image: _stripes(fold, void=True) for fold, image in enumerate(train)}
    sbd = {f"2010_00000{n}": _stripes(n % 4, void=False) for n in range(6)}
    sbd |= {image: np.full((HEIGHT, WIDTH), 15, np.uint8) for image in (BOTH_TRAIN, BOTH_TEST)}
    # By OSLSM's rule, but with the one pair of SPARSE that only PFENet's keeps.
    test_pairs = (*_pairs({i: voc[i] for i in val if i != SPARSE}), (SPARSE, 2))
    train_pairs = _pairs({**sbd, **{image: voc[image] for image in train}}, leave_out={BOTH_TEST})
    tiny = TinyPascal(
        folder=folder,
        release=Release(
            voc=_archive(folder / "tiny-voc.tar", _voc_files(voc, sbd, train, val), VOC_FOLDER),
            sbd=_archive(folder / "tiny-sbd.tgz", _sbd_files(sbd), SBD_FOLDER),
            fold_lists=_fold_lists(folder, train_pairs, test_pairs),
            pfenet_train=_text(folder, "pfenet.txt", _pfenet_lines([*train[::-1], "2010_000003"])),
            masks=None,
            counts={},
        ),
        voc=voc,
        sbd=sbd,
        train=train,
        val=val,
        test_pairs=test_pairs,
        train_pairs=train_pairs,
    )
    return tiny


def write_mat(path: Path, labels: Labels) -> None:
    """A file of SBD."""
    path.write_bytes(mat_bytes(labels))


def mat_bytes(labels: Labels) -> bytes:
    """SBD's format: a struct with the segmentation and its boundaries, under a fixed header."""
    from scipy.io import savemat
    from scipy.sparse import csc_matrix

    boundaries = np.empty((20, 1), dtype=object)
    for index in range(20):
        boundaries[index, 0] = csc_matrix(labels == index + 1)
    present = np.unique(labels[labels > 0])[:, None]
    content = {"Boundaries": boundaries, "Segmentation": labels, "CategoriesPresent": present}
    buffer = io.BytesIO()
    savemat(buffer, {"GTcls": content}, do_compression=True)
    return b"MATLAB 5.0 MAT-file".ljust(116) + buffer.getvalue()[116:]


def palette_png(labels: Labels) -> bytes:
    """VOC's format: an index into a palette of 256 colours."""
    image = Image.fromarray(labels)
    image.putpalette(
        [(value * 37 + channel * 85) % 256 for value in range(256) for channel in (0, 1, 2)]
    )
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _stripes(fold: int, *, void: bool) -> Labels:
    """The five classes of a fold side by side; void lines between them."""
    labels = (np.arange(WIDTH) // STRIPE + 5 * fold + 1).astype(np.uint8)
    if void:
        labels[::STRIPE] = 255
    return np.tile(labels, (HEIGHT, 1))


def _sparse() -> Labels:
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[[1, 33, 65], [1, 33, 65]] = 2
    labels[2:33] = 3
    return labels


def _pairs(
    labels: Mapping[str, Labels], leave_out: frozenset[str] | set[str] = frozenset()
) -> tuple[tuple[str, int], ...]:
    return tuple(
        (image, int(value) - 1)
        for image in sorted(labels)
        if image not in leave_out
        for value in np.unique(labels[image])
        if value not in (0, 255)
    )


def _jpeg(seed: int) -> bytes:
    pixels = np.random.RandomState(seed).randint(0, 256, (HEIGHT // 16, WIDTH // 16, 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).resize((WIDTH, HEIGHT)).save(buffer, format="JPEG")
    return buffer.getvalue()


def _voc_files(
    voc: Mapping[str, Labels],
    sbd: Mapping[str, Labels],
    train: tuple[str, ...],
    val: tuple[str, ...],
) -> dict[str, bytes]:
    sets = {"train": train, "val": val, "trainval": tuple(sorted((*train, *val)))}
    files = {
        f"ImageSets/Segmentation/{name}.txt": "".join(f"{image}\n" for image in images).encode()
        for name, images in sets.items()
    }
    files |= {f"SegmentationClass/{image}.png": palette_png(mask) for image, mask in voc.items()}
    images = sorted({*voc, *sbd})
    return files | {f"JPEGImages/{image}.jpg": _jpeg(n) for n, image in enumerate(images)}


def _sbd_files(sbd: Mapping[str, Labels]) -> dict[str, bytes]:
    return {f"cls/{image}.mat": mat_bytes(labels) for image, labels in sbd.items()}


def _archive(path: Path, files: Mapping[str, bytes], folder: str) -> SourceFile:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    plain = buffer.getvalue()
    path.write_bytes(gzip.compress(plain, mtime=0) if path.suffix == ".tgz" else plain)
    return _source(path, path.name, folder)


def _fold_lists(
    folder: Path, train: tuple[tuple[str, int], ...], test: tuple[tuple[str, int], ...]
) -> dict[str, SourceFile]:
    files = {}
    by_class = tuple(sorted(train, key=lambda pair: pair[1]))
    for part, pairs in (("trn", by_class), ("val", test)):
        for fold in range(4):
            lines = [f"{image}__{c + 1:02}\n" for image, c in pairs if c // 5 == fold]
            name = f"{part}/fold{fold}.txt"
            files[name] = _text(folder, f"pascal/{name}", "".join(lines))
    return files


def _pfenet_lines(images: list[str]) -> str:
    return "".join(f"JPEGImages/{i}.jpg SegmentationClassAug/{i}.png\n" for i in images)


def _text(folder: Path, name: str, text: str) -> SourceFile:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return _source(path, name, None)


def _source(path: Path, name: str, folder: str | None) -> SourceFile:
    content = path.read_bytes()
    return SourceFile(
        name=name,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        extracted_size=0,
        page=f"https://example.org/{name}",
        folder=folder,
    )
