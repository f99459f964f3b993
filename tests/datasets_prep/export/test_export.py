"""An export is opened by `datasets` alone and gives what was prepared; it is whole or not there."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from datasets_prep.errors import DatasetError
from datasets_prep.export import folder as export_module
from datasets_prep.export import rows as export_rows
from datasets_prep.export import shards as export_formats
from datasets_prep.export.folder import Format, export
from datasets_prep.export.hub import push
from datasets_prep.export.rows import shards, suffix
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare
from datasets_prep.prepared.records import encode_png
from tests.datasets_prep import toy as toy_module
from tests.datasets_prep.toy import CLASSES, Toy

Pixels = NDArray[np.uint8]


def toy(root: Path, **options: Any) -> PreparedDataset:
    return prepare(Toy(images=12, **options), PrepareOptions(root, shots=(1,)))


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[bool, bool], PreparedDataset]:
    """Embedded images or files, label maps or masks that overlap."""
    return {
        (files, overlap): toy(tmp_path_factory.mktemp("data"), files=files, overlap=overlap)
        for files in (False, True)
        for overlap in (False, True)
    }


def load(folder: Path, cache: Path) -> Any:
    import datasets

    datasets.disable_progress_bars()
    (split,) = (loaded := datasets.load_dataset(str(folder), cache_dir=str(cache)))
    return loaded[split]


def from_row(row: Mapping[str, Any]) -> tuple[Pixels, dict[int, Pixels]]:
    """Image and masks by class of a loaded Parquet row, without this suite."""
    size = [row["height"], row["width"]]
    rles = [(m["class"], {"size": size, "counts": m["counts"]}) for m in row["masks"]]
    return np.asarray(row["image"]), masks(row["label_map"], rles)


def from_sample(sample: Mapping[str, Any]) -> tuple[Pixels, dict[int, Pixels]]:
    """The same of a WebDataset sample."""
    rles = [(m["class"], m) for m in sample.get("masks.json", ())]
    return np.asarray(sample["png"]), masks(sample.get("label_map.png"), rles)


def masks(label_map: Any, rles: list[tuple[int, Any]]) -> dict[int, Pixels]:
    if label_map is None:
        return {index: coco.decode(rle) for index, rle in rles}
    labels = np.asarray(label_map)
    return {
        index: np.where(labels == 255, 255, labels == index + 1).astype(np.uint8)
        for index in range(len(CLASSES))
        if (labels == index + 1).any()
    }


@pytest.mark.parametrize("files", [False, True])
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_datasets_alone_gives_the_same_images_and_masks(
    files: bool, overlap: bool, format: Format,
    kinds: Mapping[tuple[bool, bool], PreparedDataset], tmp_path: Path,
) -> None:  # fmt: skip
    dataset = kinds[files, overlap]
    assert export(dataset, tmp_path / "out", format, shard_bytes=2000)
    assert len(list((tmp_path / "out/data").iterdir())) > 1
    loaded = load(tmp_path / "out", tmp_path / "cache")
    assert len(loaded) == len(dataset.image_ids)
    for image_id, row in zip(dataset.image_ids, loaded, strict=True):
        about = row if format == "parquet" else row["json"]
        assert (about["image_id"], about["split"]) == (image_id, "all")
        image, own = from_row(row) if format == "parquet" else from_sample(row)
        assert np.array_equal(image, np.asarray(dataset.image(image_id)))
        prepared = {index: dataset.mask(image_id, index) for index in range(len(CLASSES))}
        assert own.keys() == {index for index, mask in prepared.items() if (mask == 1).any()}
        assert all(np.array_equal(own[index], prepared[index]) for index in own)


def test_lists_and_classes_come_along(tmp_path: Path) -> None:
    dataset = toy(tmp_path)
    export(dataset, tmp_path / "out", "parquet")
    assert json.loads((tmp_path / "out/classes.json").read_text())["classes"] == list(CLASSES)
    for name in ("folds.json", "episodes/hsnet/fold1_1shot.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (dataset.root / name).read_bytes()
    assert dataset.digest in (tmp_path / "out/README.md").read_text()


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_the_same_dataset_gives_the_same_bytes(format: Format, tmp_path: Path) -> None:
    dataset = toy(tmp_path)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        export(dataset, folder, format)
    one, two = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.*")} for f in folders)
    assert one == two


def test_images_keep_their_bytes(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    dataset = toy(tmp_path, files=True)
    export(dataset, tmp_path / "out", "parquet")
    (path,) = (tmp_path / "out/data").iterdir()
    for row in pq.read_table(path).to_pylist():
        assert hashlib.sha256(row["image"]["bytes"]).hexdigest() == row["image_sha256"]


# --- shards ---


def test_shards_hold_every_row_once_and_stay_small(tmp_path: Path) -> None:
    dataset = toy(tmp_path)
    whole = shards(dataset)
    assert [shard.name("tar") for shard in whole] == ["full-00000-of-00001.tar"]
    each = whole[0].bytes // 12
    cut = shards(dataset, shard_bytes=3 * each)
    assert [row for shard in cut for row in shard.rows] == list(range(12))
    assert all(shard.bytes <= 3 * each for shard in cut)
    assert {(shard.number, shard.of) for shard in cut} == {(n, len(cut)) for n in range(len(cut))}
    assert [len(shard.rows) for shard in shards(dataset, shard_bytes=1)] == [1] * 12


@pytest.mark.parametrize(
    ("rows", "runs"),
    [
        ((0, 1, 2), [(0, 3)]),
        ((0, 2, 3), [(0, 1), (2, 2)]),
        ((5,), [(5, 1)]),
        ((), []),
        (tuple(range(18)), [(0, 16), (16, 2)]),
    ],
)
def test_rows_are_read_in_runs(rows: tuple[int, ...], runs: list[tuple[int, int]]) -> None:
    assert list(export_rows._runs(rows)) == runs


def test_large_images_come_in_smaller_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"image": bytes(size), "label_map": None} for size in (1, 1, 60, 60, 1, 1, 1, 1)]
    monkeypatch.setattr(export_formats, "_GROUP_BYTES", 100)
    monkeypatch.setattr(export_formats, "_GROUP_ROWS", 5)
    groups = list(export_formats._row_groups(rows))
    assert [len(group) for group in groups] == [4, 4]
    monkeypatch.setattr(export_formats, "_GROUP_BYTES", 1000)
    assert [len(group) for group in export_formats._row_groups(rows)] == [5, 3]
    assert groups[0][0] == {"image": {"bytes": b"\0", "path": None}, "label_map": None}


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"\xff\xd8\xff\xe0", "jpg"), (b"\x89PNG\r\n", "png"), (b"RIFF1234WEBP", "webp")],
)
def test_images_are_named_by_what_they_are(content: bytes, kind: str) -> None:
    assert suffix(content) == kind


# --- what can go wrong ---


class Killed(Exception):
    pass


def test_an_export_that_is_killed_goes_on_and_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = toy(tmp_path)
    export(dataset, tmp_path / "whole", "parquet", shard_bytes=1500)
    written: list[str] = []
    ending, write = export_formats.WRITERS["parquet"]

    def killed(path: Path, rows: Any, first: int) -> None:
        written.append(path.name)
        write(path, rows, first)
        if len(written) == 3:
            raise Killed

    monkeypatch.setattr(export_module, "WRITERS", {"parquet": (ending, killed)})
    with pytest.raises(Killed):
        export(dataset, tmp_path / "out", "parquet", shard_bytes=1500)
    assert not (tmp_path / "out").exists()
    assert export(dataset, tmp_path / "out", "parquet", shard_bytes=1500)
    assert written[2] == written[3] and len(set(written)) == len(written) - 1
    one, two = (
        {p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()}
        for f in (tmp_path / "whole", tmp_path / "out")
    )
    assert one == two
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"toy", "whole", "out"}


def test_a_folder_may_have_as_long_a_name_as_there_is(tmp_path: Path) -> None:
    out = tmp_path / (85 * "猫")
    assert export(toy(tmp_path), out, "parquet") is True
    assert {path.name for path in tmp_path.iterdir()} == {"toy", out.name}


def test_what_is_left_of_another_export_is_thrown_away(tmp_path: Path) -> None:
    dataset = toy(tmp_path)
    left = tmp_path / ".out.exporting/data"
    left.mkdir(parents=True)
    (left / "full-00000-of-00001.parquet").write_text("of another dataset")
    (left.parent / "export.json").write_text("{}")
    export(dataset, tmp_path / "out", "parquet")
    assert len(load(tmp_path / "out", tmp_path / "cache")) == 12


def test_a_folder_that_is_there_is_left_alone_unless_it_is_this_export(tmp_path: Path) -> None:
    dataset = toy(tmp_path)
    assert export(dataset, tmp_path / "out", "parquet") is True
    assert export(dataset, tmp_path / "out", "parquet") is False
    with pytest.raises(DatasetError, match="is there already, and is not this export"):
        export(dataset, tmp_path / "out", "webdataset")
    with pytest.raises(DatasetError, match="is there already, and is not this export"):
        export(dataset, tmp_path / "toy", "parquet")
    again = prepare(Toy(images=12), PrepareOptions(tmp_path, shots=(1, 2)))
    assert again.digest == dataset.digest
    with pytest.raises(DatasetError, match="is there already, and is not this export"):
        export(again, tmp_path / "out", "parquet")


def test_an_image_that_has_changed_is_not_exported(tmp_path: Path) -> None:
    dataset = toy(tmp_path, files=True)
    file = next((tmp_path / "toy/raw").glob("*.png"))
    file.chmod(0o644)
    file.write_bytes(file.read_bytes() + b"more")
    with pytest.raises(DatasetError, match=rf"{file.name} is not as prepared"):
        export(dataset, tmp_path / "out", "parquet")
    file.unlink()
    with pytest.raises(DatasetError, match=f"cannot read .*{file.name}"):
        export(dataset, tmp_path / "out", "parquet")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("files", [False, True])
@pytest.mark.parametrize("shard_bytes", [1, export_rows.SHARD_BYTES])
def test_webdataset_refuses_images_of_two_kinds_in_any_shards_and_leaves_nothing(
    files: bool, shard_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bitmap_for_one(pixels: Pixels) -> bytes:
        if not np.array_equal(pixels, toy_module.pixels(7, 0)):
            return encode_png(pixels)
        Image.fromarray(pixels).save(bitmap := io.BytesIO(), "bmp")
        return bitmap.getvalue()

    monkeypatch.setattr(toy_module, "encode_png", bitmap_for_one)
    dataset = toy(tmp_path, files=files)
    out = tmp_path / "new" / "out"
    two = r"a_000 is \.png and b_007 is \.bmp; use --format parquet"
    with pytest.raises(DatasetError, match=two):
        export(dataset, out, "webdataset", shard_bytes=shard_bytes)
    assert not out.parent.exists()
    assert export(dataset, out, "parquet", shard_bytes=shard_bytes)


# --- the hub ---


class Hub:
    """Stands in for the hub: hears what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None

    def create_repo(self, repo: str, **given: Any) -> None:
        if self.error is not None:
            raise self.error
        self.asked.append(("create", repo, given["repo_type"], given["private"]))

    def upload_folder(self, **given: Any) -> None:
        from huggingface_hub.utils import filter_repo_objects

        folder = Path(given["folder_path"])
        files = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
        kept = filter_repo_objects(files, ignore_patterns=given["ignore_patterns"])
        self.asked.append(("files", given["repo_id"], sorted(kept)[:3]))

    def push(self, loaded: Any, repo: str, *, private: bool) -> None:
        pixels = [int(np.asarray(row["image"]).sum()) for row in loaded["full"]]
        self.asked.append(("images", repo, pixels, private))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    import datasets
    import huggingface_hub

    datasets.disable_progress_bars()
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    pushed = lambda loaded, repo, *, private: hub.push(loaded, repo, private=private)  # noqa: E731
    monkeypatch.setattr(datasets.DatasetDict, "push_to_hub", pushed)
    return hub


def test_the_hub_gets_images_lists_and_card(hub: Hub, tmp_path: Path) -> None:
    dataset = toy(tmp_path)
    export(dataset, tmp_path / "out", "parquet")
    push(tmp_path / "out", "me/toy", private=True)
    sums = [int(np.asarray(dataset.image(image)).sum()) for image in dataset.image_ids]
    lists = ["README.md", "classes.json", "episodes/absent-v1/fold0_1shot.jsonl"]
    assert hub.asked == [
        ("create", "me/toy", "dataset", True),
        ("files", "me/toy", lists),
        ("images", "me/toy", sums, True),
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"toy", "out"}


def test_what_the_hub_refuses_is_one_message(hub: Hub, tmp_path: Path) -> None:
    from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError

    export(toy(tmp_path), tmp_path / "out", "parquet")
    hub.error = LocalTokenNotFoundError("no token")
    with pytest.raises(
        DatasetError, match="nobody is logged in to push me/toy; run: hf auth login"
    ):
        push(tmp_path / "out", "me/toy", private=True)
    hub.error = HFValidationError("Repo id must be in the form\nand more")
    with pytest.raises(
        DatasetError, match=r"cannot push to x: Repo id must be in the form and more; .*again$"
    ):
        push(tmp_path / "out", "x", private=False)
