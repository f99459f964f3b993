"""A prepared dataset as a folder that others open without this suite; whole, or not there.

Everything is written into a hidden folder beside the wanted one and renamed at the end. An export
that was broken off keeps its whole shards there, and the same command goes on with the next one.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from filelock import Timeout

from datasets_prep.errors import DatasetError
from datasets_prep.export.rows import SHARD_BYTES, Shard, kinds, read_rows, shards
from datasets_prep.export.shards import WRITERS, Row
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.runtime.disk import acquired, ensure_space, full_disk_named, hidden
from datasets_prep.runtime.progress import SILENT, Progress

Format = Literal["parquet", "webdataset"]
SCHEMA = 1
STAMP = "export.json"
LISTS = ("classes.json", "folds.json", "episodes")  # copied as they are


def export(
    dataset: PreparedDataset,
    out: Path,
    format: Format,
    *,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = SILENT,
) -> bool:
    """Write `dataset` into the folder `out`.

    It then holds `data/SPLIT-00000-of-00001.parquet` (or `.tar`), the classes, folds and episode
    lists, and a `README.md` that tells `datasets` and people what is what.

    Args:
        dataset: what to write.
        out: a folder that is not there yet.
        format: of the image files.
        shard_bytes: size of a file, about.
        progress: hears of it.

    Returns:
        False if `out` held this very export already.

    Raises:
        DatasetError: if `out` holds anything else, the dataset has no images, one that is not as
            prepared, or for WebDataset images of several kinds, or the disk is too small.
    """
    if not dataset.has_images:
        raise DatasetError(
            f"{dataset.name} was prepared with --no-images, and there is nothing to export; "
            f"prepare it with its images first"
        )
    stamp = _stamp(dataset, format, shard_bytes)
    if out.exists():
        if _read_stamp(out) == stamp:
            return False
        raise DatasetError(
            f"{out} is there already, and is not this export; remove it or name another folder"
        )
    if format == "webdataset":
        _check_one_kind(dataset)
    out.parent.mkdir(parents=True, exist_ok=True)
    building = hidden(out, "exporting")
    try:
        held = acquired(hidden(out, "lock"))
    except Timeout:
        raise DatasetError(f"another process is writing {out}; wait for it to end") from None
    with held, full_disk_named(out.parent):
        if _read_stamp(building) != stamp:
            shutil.rmtree(building, ignore_errors=True)
        (building / "data").mkdir(parents=True, exist_ok=True)
        (building / STAMP).write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
        every = shards(dataset, shard_bytes)
        _write_shards(dataset, every, building / "data", format, progress)
        _copy_lists(dataset, building)
        readme = _readme(dataset, format, list(dict.fromkeys(shard.split for shard in every)))
        (building / "README.md").write_text(readme, encoding="utf-8")
        building.rename(out)
        Path(held.lock.lock_file).unlink(missing_ok=True)
    return True


def _check_one_kind(dataset: PreparedDataset) -> None:
    """`datasets` takes the columns of all shards from the first sample: other kinds read as None.

    Raises:
        DatasetError: if the images are of several kinds.
    """
    found = kinds(dataset)
    if len(found) > 1:
        named = " and ".join(f"{image} is .{kind}" for kind, image in found.items())
        raise DatasetError(
            f"WebDataset wants images of one kind, but {named}; use --format parquet"
        )


def _stamp(dataset: PreparedDataset, format: Format, shard_bytes: int) -> Mapping[str, object]:
    return {
        "schema": SCHEMA,
        "dataset": dataset.name,
        "digest": dataset.digest,
        "episodes": {
            name: listed["digest"] for name, listed in dataset.manifest["episodes"].items()
        },
        "format": format,
        "shard_bytes": shard_bytes,
    }


def _read_stamp(folder: Path) -> object:
    try:
        return json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write_shards(
    dataset: PreparedDataset, every: list[Shard], folder: Path, format: Format, progress: Progress
) -> None:
    ending, write = WRITERS[format]
    missing = [shard for shard in every if not (folder / shard.name(ending)).is_file()]
    ensure_space(folder, sum(shard.bytes for shard in missing))
    done, total = 0, sum(len(shard.rows) for shard in every)

    def told(rows: Iterator[Row]) -> Iterator[Row]:
        for number, row in enumerate(rows, done + 1):
            yield row
            progress.update("images", number, total)

    for shard in every:
        if shard in missing:
            path = folder / shard.name(ending)
            partial = hidden(path, "partial")
            write(partial, told(read_rows(dataset, shard)), done)
            partial.replace(path)
        done += len(shard.rows)


def _copy_lists(dataset: PreparedDataset, building: Path) -> None:
    for name in LISTS:
        source = dataset.root / name
        if source.is_dir():
            shutil.copytree(source, building / name, dirs_exist_ok=True)
        elif source.exists():
            shutil.copyfile(source, building / name)


def _readme(dataset: PreparedDataset, format: Format, splits: list[str]) -> str:
    """The dataset card; its head tells `datasets` which files are data."""
    ending, _ = WRITERS[format]
    files = "".join(f"  - split: {s}\n    path: data/{s}-*.{ending}\n" for s in splits)
    labels = (
        "`label_map`: a single-channel PNG, 0 background, i+1 class i, 255 ignore"
        if dataset.has_label_maps
        else "`masks`: class index and compressed COCO RLE of every class; they may overlap"
    )
    return f"""\
---
configs:
- config_name: default
  data_files:
{files}task_categories:
- image-segmentation
---

# {dataset.name}

{len(dataset.image_ids)} images with {len(dataset.classes)} classes for few-shot segmentation, \
exported by fss-bench.

- `image`: the encoded image, byte for byte as it was prepared
- {labels}
- `classes.json`: names by class index
- `folds.json`: per fold the base and novel classes, and the ordered (image, class) lists
- `episodes/RECIPE/fold0_1shot.jsonl`: fixed episodes: class, query and supports by `image_id`

Dataset digest `{dataset.digest}`, builder `{dataset.manifest["builder"]["name"]}` version \
{dataset.manifest["builder"]["version"]}. Images and labels keep the licences of their sources.
"""
