"""Reading a prepared dataset: images, masks, folds and episode lists."""

import difflib
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.archives.extract import STAMP
from datasets_prep.catalog import DATASETS
from datasets_prep.episodes.episode import Episode, digest, read_episodes
from datasets_prep.episodes.published import check_digest, list_name
from datasets_prep.episodes.recipes import check_shots
from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import UNREADABLE, open_image
from datasets_prep.prepared.folds import FoldSet, read_folds
from datasets_prep.prepared.records import IGNORE, labels_sha256, masks_sha256

SCHEMA = 1
_PARTS = {
    "digest": str,
    "builder": dict,
    "counts": dict,
    "lists": str,
    "notes": list,
    "episodes": dict,
    "files": dict,
}


def prepare_command(name: str) -> str:
    """What prepares the dataset of this name; `...` stands for what its user alone knows."""
    builder = name.removesuffix("-partial")
    if builder not in DATASETS or builder == "folder":
        return "bench prepare folder ..."
    return f"bench prepare {builder}{' --partial' if name != builder else ''}"


def _known(data_root: Path) -> list[str]:
    """What can be prepared, and what is."""
    return sorted({*DATASETS, *(path.parent.name for path in data_root.glob("*/manifest.json"))})


class PreparedDataset:
    """A dataset below a data root, opened without loading it.

    The image table is what `datasets.load_from_disk(root / "images")` opens too; here its Arrow
    files are mapped directly, which spares every worker the import of that library.

    Raises:
        DatasetError: if the dataset is not prepared, or prepared by another schema.
    """

    def __init__(self, data_root: Path, name: str) -> None:
        self.name = name
        self.root = data_root / name
        manifest = self.root / "manifest.json"
        if not manifest.is_file():
            near = difflib.get_close_matches(name, _known(data_root), n=3, cutoff=0.6)
            mend = (
                f"did you mean {' or '.join(near)}?"
                if near and name.removesuffix("-partial") not in DATASETS
                else f"run: {prepare_command(name)}"
            )
            raise DatasetError(f"dataset {name!r} is not prepared in {data_root}; {mend}")
        try:
            self.manifest: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
            schema = self.manifest["schema"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise DatasetError(f"{manifest} is damaged; run: {prepare_command(name)}") from None
        if schema != SCHEMA:
            raise DatasetError(
                f"{manifest} has schema {schema}, this version reads {SCHEMA}; "
                f"run: {prepare_command(name)}"
            )
        if any(not isinstance(self.manifest.get(key), kind) for key, kind in _PARTS.items()):
            raise DatasetError(f"{manifest} is damaged; run: {prepare_command(name)}")

    @property
    def _again(self) -> str:
        return f"prepare it again with: {prepare_command(self.name)}"

    @property
    def _check(self) -> str:
        return f"run: bench datasets verify {self.name} --full"

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"cannot read {path} ({error}); {self._again}") from None

    @property
    def digest(self) -> str:
        """sha256 that names the dataset's content, equal on every machine."""
        return str(self.manifest["digest"])

    @property
    def labels_digest(self) -> str | None:
        """sha256 over labels and lists alone; None where results are not bound to it."""
        return self.manifest.get("labels_digest")

    @cached_property
    def has_images(self) -> bool:
        """Whether there are images, or labels and lists alone."""
        return bool(self._table.column("image").null_count == 0)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names by class index."""
        path = self.root / "classes.json"
        with self._reading(path):
            return tuple(json.loads(path.read_text(encoding="utf-8"))["classes"])

    @cached_property
    def folds(self) -> FoldSet:
        """The fold splits."""
        return read_folds(self.root / "folds.json")

    @cached_property
    def _table(self) -> Any:
        import pyarrow as pa

        folder = self.root / "images"
        with self._reading(folder):
            state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            files = [folder / entry["filename"] for entry in state["_data_files"]]
            # The maps stay open as long as the table that points into them.
            return pa.concat_tables(
                [pa.ipc.open_stream(pa.memory_map(str(file))).read_all() for file in files]
            )

    @property
    def table(self) -> Any:
        """The image table, mapped from disk and not loaded; columns as in `records.columns`."""
        return self._table

    @cached_property
    def _rows(self) -> Mapping[str, int]:
        return {image: row for row, image in enumerate(self.image_ids)}

    @cached_property
    def image_ids(self) -> tuple[str, ...]:
        """Every image id, in stored order."""
        return tuple(self._table.column("image_id").to_pylist())

    @cached_property
    def image_sha256s(self) -> tuple[str, ...]:
        """sha256 of every image's file, of its pixels where it is generated, in stored order."""
        return tuple(self._table.column("image_sha256").to_pylist())

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        heights, widths = (self._table.column(c).to_pylist() for c in ("height", "width"))
        return list(zip(heights, widths, strict=True))

    def _row(self, image_id: str) -> int:
        try:
            return self._rows[image_id]
        except KeyError:
            raise DatasetError(
                f"dataset {self.name!r} has no image {image_id!r}; run: "
                f"bench datasets verify {self.name}"
            ) from None

    def _cell(self, column: str, image_id: str) -> Any:
        return self._table.column(column)[self._row(image_id)].as_py()

    def size(self, image_id: str) -> tuple[int, int]:
        """(height, width) of an image in pixels."""
        return self._sizes[self._row(image_id)]

    def image(self, image_id: str) -> Image.Image:
        """The image in RGB.

        Raises:
            DatasetError: naming the file, if it is missing, damaged or has changed; or if the
                dataset was prepared without images.
        """
        stored = self._cell("image", image_id)
        if stored is None:
            raise DatasetError(
                f"dataset {self.name!r} was prepared with --no-images and holds label maps alone; "
                f"{self._again}"
            )
        is_file = isinstance(stored, str)
        where = stored if is_file else f"image {image_id}"
        with self._decoding(where):
            content = (self.root / stored).read_bytes() if is_file else stored["bytes"]
            with open_image(io.BytesIO(content)) as opened:
                image = opened.convert("RGB")
        if (image.height, image.width) != self.size(image_id):
            raise self._changed(f"{where} is {image.width}×{image.height}")
        # A file may decode and yet be another: in a JPEG most flipped bits do.
        if is_file and hashlib.sha256(content).hexdigest() != self._cell("image_sha256", image_id):
            raise self._changed(f"{where} has other bytes")
        return image

    @contextmanager
    def _decoding(self, what: str) -> Iterator[None]:
        try:
            yield
        except UNREADABLE as error:
            raise DatasetError(
                f"dataset {self.name!r}: cannot read {what}: {error}; {self._check}"
            ) from None

    def _changed(self, what: str) -> DatasetError:
        return DatasetError(f"dataset {self.name!r}: {what}, not as prepared; {self._check}")

    @cached_property
    def has_label_maps(self) -> bool:
        """Whether an image has one label map; else it has a mask for each of its classes."""
        return bool(self._table.column("label_map").null_count == 0)

    def labels(self, image_id: str) -> NDArray[np.uint8]:
        """The label map, H×W: 0 background, i+1 class i, 255 ignore.

        Raises:
            DatasetError: if the dataset's classes overlap and it has masks instead, or the map is
                damaged.
        """
        stored = self._cell("label_map", image_id)
        if stored is None:
            raise DatasetError(f"dataset {self.name!r} keeps a mask per class, no label maps")
        with (
            self._decoding(f"the labels of {image_id}"),
            open_image(io.BytesIO(stored["bytes"])) as opened,
        ):
            labels = np.asarray(opened, dtype=np.uint8)
        if labels.shape != self.size(image_id):
            raise self._changed(f"the labels of {image_id} have shape {labels.shape}")
        return labels

    def mask(self, image_id: str, class_index: int) -> NDArray[np.uint8]:
        """The mask of one class, H×W: 1 foreground, 0 background, 255 ignore."""
        if self._cell("label_map", image_id) is None:
            return self._united(image_id, class_index)
        labels = self.labels(image_id)
        mask: NDArray[np.uint8] = (labels == class_index + 1).astype(np.uint8)
        mask[labels == IGNORE] = IGNORE
        return mask

    def _united(self, image_id: str, class_index: int) -> NDArray[np.uint8]:
        from pycocotools import mask as coco

        height, width = self.size(image_id)
        rles = [
            {"size": [height, width], "counts": entry["counts"]}
            for entry in self._cell("masks", image_id)
            if entry["class"] == class_index
        ]
        if not rles:
            return np.zeros((height, width), dtype=np.uint8)
        return np.ascontiguousarray(coco.decode(coco.merge(rles)), dtype=np.uint8)

    def unpacked(self, image_id: str) -> Path | None:
        """The unpacked archive that an image's file lies in."""
        stored = self._cell("image", image_id)
        folder = self.root.joinpath(*Path(stored).parts[:2]) if isinstance(stored, str) else None
        return folder if folder is not None and (folder / STAMP).is_file() else None

    def problems(self, image_id: str) -> list[str]:
        """What is wrong with an image's file, pixels or labels; nothing if all is as prepared."""
        stored = self._cell("image", image_id)
        if isinstance(stored, str):
            try:
                actual = hashlib.sha256((self.root / stored).read_bytes()).hexdigest()
            except OSError as error:
                return [f"cannot read {self.root / stored}: {error.strerror}"]
            if actual != (expected := self._cell("image_sha256", image_id)):
                return [f"{self.root / stored} has sha256 {actual}, not {expected}"]
        try:
            if stored is not None:
                self.image(image_id)
            if self._cell("label_map", image_id) is not None:
                actual = labels_sha256(self.labels(image_id))
            else:
                masks = self._cell("masks", image_id)
                actual = masks_sha256((mask["class"], mask["counts"]) for mask in masks)
        except (DatasetError, OSError) as error:
            return [str(error)]
        if actual != self._cell("labels_sha256", image_id):
            return [f"the labels of {image_id} are not as prepared"]
        return []

    def episodes(self, recipe: str, fold: int, shots: int) -> list[Episode]:
        """A prepared episode list, its digest checked.

        Raises:
            DatasetError: if there is no such fold, the list was not prepared, or its digest is
                not the recorded one or not the published one (both digests are named).
        """
        try:
            self.folds.fold(fold, shots)
        except DatasetError as error:
            raise DatasetError(f"dataset {self.name!r} has {error}") from None
        name = f"{recipe}/{list_name(fold, shots)}"
        check_shots(recipe, shots)
        recorded = self.manifest["episodes"].get(name)
        if recorded is None and not self.folds.fold(fold, shots).novel:
            raise DatasetError(
                f"dataset {self.name!r} has no class to test in fold {fold}; folds that can be "
                f"tested: {', '.join(map(str, self.folds.tested)) or 'none'}"
            )
        if recorded is None:
            have = sorted(
                {int(n.split("_")[1].removesuffix("shot")) for n in self.manifest["episodes"]}
            )
            shots_then = ",".join(map(str, sorted({*have, shots})))
            said = f"no episode list {name}"
            reasons = [
                note.removeprefix(said)
                for note in (*self.manifest["notes"], *self.manifest.get("undrawn", ()))
                if note.startswith(f"{said}: ")
            ]
            raise DatasetError(
                f"dataset {self.name!r} has {said}"
                + (reasons[0] if reasons else f"; {self._again} --shots {shots_then}")
            )
        path = self.root / "episodes" / f"{name}.jsonl"
        episodes = read_episodes(path)
        actual = digest(episodes)
        if actual != recorded["digest"]:
            raise DatasetError(
                f"{path} has digest {actual}, but {recorded['digest']} was prepared; {self._again}"
            )
        check_digest(self.name, self.folds, recipe, fold, shots, actual)
        return episodes
