"""From sources to a prepared dataset: deterministic, and whole or absent.

Everything is built in `<dataset>/.building` and moved into place at the end; the manifest goes
first and comes last, so a folder with a manifest is always complete.
"""

import hashlib
import json
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from filelock import Timeout

from datasets_prep.archives.extract import freeze
from datasets_prep.archives.sources import hashes, obtain
from datasets_prep.builder import Builder, Content, Workspace
from datasets_prep.episodes.episode import storable
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import SCHEMA, PreparedDataset
from datasets_prep.prepared.faults import Faults
from datasets_prep.prepared.folds import to_json
from datasets_prep.prepared.list_report import write_report
from datasets_prep.prepared.lists import write_lists
from datasets_prep.prepared.records import ImageRecord, columns, row
from datasets_prep.runtime.disk import acquired, ensure_space, full_disk_named
from datasets_prep.runtime.progress import SILENT, Progress

SHOTS = (1, 5)
SKIPPED = "skipped.txt"
_PARTS = ("images", "episodes", "classes.json", "folds.json", SKIPPED)
_ROWS_PER_BATCH = 64
_BYTES_PER_BATCH = 1 << 30
_HELPLESS = "--skip-bad leaves out single images and annotations; this stops all the same"


@dataclass(frozen=True)
class PrepareOptions:
    """What holds for every dataset.

    Attributes:
        data_root: folder of all prepared datasets.
        from_dir: archives or extracted folders that the user already has.
        jobs: number of processes.
        embed_images: keep image bytes in the table instead of paths to files.
        shots: episode lists to draw.
        skip_bad: leave out single images and annotations that are wrong, instead of stopping;
            their names enter the manifest and the digest.
        again: options of the builder as the command line takes them, for messages.
    """

    data_root: Path
    from_dir: Path | None = None
    jobs: int = 1
    embed_images: bool = False
    shots: Sequence[int] = SHOTS
    skip_bad: bool = False
    again: Sequence[str] = ()


def prepare(
    builder: Builder, options: PrepareOptions, progress: Progress = SILENT
) -> PreparedDataset:
    """Prepare a dataset and return it opened.

    Raises:
        DatasetError: if sources are missing or wrong, or another process prepares the same
            dataset; whatever was prepared before is then untouched.
    """
    root = options.data_root / builder.dataset
    raw = root / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    try:
        held = acquired(root / ".lock")
    except Timeout:
        raise DatasetError(f"another process is preparing {root}; wait for it to end") from None
    with held, _one_message(root, options.skip_bad):
        command = shlex.join(["bench", "prepare", builder.name, *options.again])
        sources = obtain(builder.sources(), raw, options.from_dir, progress, command=command)
        ensure_space(root, builder.disk_needed())
        building = root / ".building"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        try:
            manifest = _build(builder, sources, building, root, options, progress)
            manifest["sources"] = hashes(sources, raw)
            _publish(building, root, manifest)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        freeze(raw)
    return PreparedDataset(options.data_root, builder.dataset)


def _build(
    builder: Builder,
    sources: Mapping[str, Path],
    building: Path,
    root: Path,
    options: PrepareOptions,
    progress: Progress,
) -> dict[str, Any]:
    """Make the content and write all parts into `building`; returns the manifest."""
    faults = Faults(options.skip_bad)
    workspace = Workspace(
        root,
        root / "raw",
        sources,
        options.jobs,
        progress,
        embed_images=options.embed_images,
        shots=options.shots,
        faults=faults,
    )
    content = builder.build(workspace)
    return _write(builder, content, building, root, options, progress, faults)


@contextmanager
def _one_message(root: Path, skip_bad: bool) -> Iterator[None]:
    """Name the file that fills the disk, and say of what remains that it cannot be left out."""
    try:
        with full_disk_named(root):
            yield
    except DatasetError as error:
        if not skip_bad:
            raise
        raise DatasetError(f"{error}\n{_HELPLESS}") from None


def _write(
    builder: Builder,
    content: Content,
    building: Path,
    root: Path,
    options: PrepareOptions,
    progress: Progress,
    faults: Faults,
) -> dict[str, Any]:
    """Write all parts into `building`; returns the manifest."""
    seen = _Seen()
    _write_images(seen.watch(content, progress), building, root, options.embed_images)
    folds = content.folds(seen.areas, seen.splits)
    classes = json.dumps({"classes": content.classes}, ensure_ascii=False) + "\n"
    (building / "classes.json").write_text(classes, encoding="utf-8")
    (building / "folds.json").write_text(to_json(folds), encoding="utf-8")
    skipped = sorted(faults.left_out)
    head = classes + to_json(folds)
    digests = {"digest": _digest(head, seen.lines, skipped)}
    if content.labels_digest:
        digests["labels_digest"] = _digest(head, seen.labels, skipped)
    episodes, notes, undrawn = write_lists(
        builder.dataset, folds, content.classes, seen.areas, options.shots, building
    )
    files = sorted(path for path in building.rglob("*") if path.is_file())
    if skipped:
        notes.insert(0, f"--skip-bad left out {len(skipped):,}, see {SKIPPED}")
        reasons = (f"{name}\t{faults.left_out[name]}" for name in skipped)
        # No file of the manifest: the reasons name places on this machine.
        write_report(building / SKIPPED, reasons)
    return {
        "schema": SCHEMA,
        "dataset": builder.dataset,
        "builder": {
            "name": builder.name,
            "version": builder.version,
            "options": dict(builder.describe()),
        },
        **digests,
        "counts": {
            "images": len(seen.lines),
            "classes": len(content.classes),
            "folds": len(folds.tested),
            "test_pairs": [len(fold.test) for fold in folds.folds],
            "train_pairs": [len(fold.train) for fold in folds.folds],
        },
        "lists": folds.lists,
        "embedded_images": options.embed_images,
        "notes": [*content.notes, *folds.notes, *notes],
        "undrawn": undrawn,
        "skipped": skipped,
        "episodes": episodes,
        "files": {path.relative_to(building).as_posix(): file_sha256(path) for path in files},
    }


def _digest(head: str, lines: Iterable[str], skipped: Iterable[str]) -> str:
    """sha256 over classes and folds, a line for each image, and what is left out."""
    every = [*sorted(lines), *(f"skipped\t{name}" for name in skipped)]
    return hashlib.sha256("".join((head, *(f"{line}\n" for line in every))).encode()).hexdigest()


class _Seen:
    """What is remembered of every image on its way into the table."""

    def __init__(self) -> None:
        self.areas: dict[str, Mapping[int, int]] = {}
        self.splits: dict[str, str] = {}
        self.lines: list[str] = []
        self.labels: list[str] = []
        self.files: dict[str, Path] = {}

    def watch(self, content: Content, progress: Progress) -> Iterator[ImageRecord]:
        for record in content.images:
            if record.image_id in self.areas:
                first, second = self.files.get(record.image_id), record.image
                files = f": {first} and {second}" if isinstance(second, Path) else ""
                raise DatasetError(f"two images are called {record.image_id!r}{files}")
            if not storable(record.image_id):
                raise DatasetError(
                    f"image id {record.image_id!r} has a comma or an unprintable character"
                )
            self.areas[record.image_id] = record.areas
            self.splits[record.image_id] = record.split
            if isinstance(record.image, Path):
                self.files[record.image_id] = record.image
            self.lines.append(record.identity)
            self.labels.append(record.labels_identity)
            progress.update("images", len(self.lines), content.count)
            yield record
        if not self.lines:
            raise DatasetError("there are no images to prepare")


def _write_images(records: Iterable[ImageRecord], building: Path, root: Path, embed: bool) -> None:
    """Write the table that `datasets.load_from_disk` opens, holding few rows in memory."""
    import datasets
    import pyarrow as pa
    from datasets.table import MemoryMappedTable

    records = iter(records)
    first = next(records)
    # Generated images have no file to point to and are always embedded.
    features = columns(embedded=embed or isinstance(first.image, bytes))
    stream = building / "stream.arrow"
    with (
        pa.OSFile(str(stream), "wb") as sink,
        pa.ipc.new_stream(sink, features.arrow_schema) as writer,
    ):
        for batch in _batches(row(record, root, embed=embed) for record in chain([first], records)):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=features.arrow_schema))
    table = datasets.Dataset(
        MemoryMappedTable.from_file(str(stream)),
        info=datasets.DatasetInfo(features=features),
        fingerprint=file_sha256(stream)[:16],
    )
    shards = 1 + stream.stat().st_size // 2**29
    # The library would draw a bar of its own beside ours.
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        table.save_to_disk(str(building / "images"), num_shards=shards)
    finally:
        if shown:
            datasets.enable_progress_bars()
    stream.unlink()


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows 64 at a time, or fewer where images are large: Arrow's batches hold 2 GiB a column."""
    batch, size = list[dict[str, Any]](), 0
    for each in rows:
        batch.append(each)
        files = (each["image"], each["label_map"])
        size += sum(len(file["bytes"]) for file in files if isinstance(file, dict))
        if len(batch) == _ROWS_PER_BATCH or size > _BYTES_PER_BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _publish(building: Path, root: Path, manifest: dict[str, Any]) -> None:
    final = root / "manifest.json"
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (building / "manifest.json").write_text(text, encoding="utf-8")
    final.unlink(missing_ok=True)
    for part in _PARTS:
        old = root / part
        if old.is_dir():
            shutil.rmtree(old)
        new = building / part
        if new.exists():
            new.replace(old)
        elif old.exists():
            old.unlink()
    (building / "manifest.json").replace(final)


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(dataset: PreparedDataset, *, full: bool, progress: Progress = SILENT) -> list[str]:
    """Compare a prepared dataset with its manifest; returns what is wrong, nothing if all holds.

    What is wrong below an unpacked archive ends in lines that say what to remove.

    Args:
        dataset: the dataset.
        full: also hash every image file and decode every image and label map.
        progress: told how far it has come.
    """
    wrong, spoilt = [], set[Path | None]()
    for name, expected in dataset.manifest["files"].items():
        path = dataset.root / name
        if not path.is_file():
            wrong.append(f"{path} is missing")
        elif (actual := file_sha256(path)) != expected:
            wrong.append(f"{path} has sha256 {actual}, not {expected}")
    if full and not wrong:
        for done, image_id in enumerate(dataset.image_ids):
            if problems := dataset.problems(image_id):
                wrong += problems
                spoilt.add(dataset.unpacked(image_id))
            progress.update("images", done + 1, len(dataset.image_ids))
    for folder in sorted(filter(None, spoilt)):
        wrong.append(f"remove {folder} first, or it is taken again as it lies there")
    return wrong
