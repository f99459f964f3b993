import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.random import RandomState
from PIL import Image

from benchmarks.cli import main
from datasets_prep.archives.sources import SourceFile
from datasets_prep.datasets.isaid import CLASSES, ISAID_5I, Isaid, IsaidOptions, Release
from datasets_prep.episodes import fixed, pfenet
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare, verify

SIDE = 24
# Large images of three tiles each; tile t of image p shows classes p and p+5, and harbor in one.
TILES = [f"P{p:04d}_{x}_{x + SIDE}_0_{SIDE}" for p in range(10) for x in (0, 20, 40)]


@pytest.fixture(scope="module", autouse=True)
def short_lists() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixed, "EPISODES", 20)
        patch.setattr(pfenet, "EPISODES", 10)
        patch.setattr(pfenet, "BAM_EPISODES", 2)
        yield


def labels_of(tile: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    large = tile // 3
    labels[2:12, 2:20] = large % 5 + 1
    labels[12:20, 2:20] = large % 10 + 6
    labels[0] = 255
    return labels


def write_archive(folder: Path, *, coloured: int | None = None, odd: int | None = None) -> Release:
    """Write `iSAID_5i.zip` and the lists as SCCNet has them; pair order is its own."""
    root = folder / "unpacked/iSAID_patches"
    for part in ("train", "val"):
        (root / part / "images").mkdir(parents=True)
        (root / part / "semantic_png").mkdir()
    for tile, name in enumerate(TILES):
        pixels = RandomState(tile).randint(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"val/images/{name}.png")
        labels = labels_of(tile)
        if tile == odd:
            labels[5, 5] = 99
        mask = Image.fromarray(labels)
        if tile == coloured:
            mask = mask.convert("RGB")
        mask.save(root / f"val/semantic_png/{name}_instance_color_RGB.png")
    path = folder / "iSAID_5i.zip"
    with zipfile.ZipFile(path, "w") as bundle:
        for file in sorted(root.rglob("*")):
            bundle.write(file, file.relative_to(root.parent).as_posix())
    shutil.rmtree(root.parent)
    lists = []
    for fold in range(3):
        lines = [
            f"{TILES[i]}__{value:02d}\n"
            for i in RandomState(fold).permutation(len(TILES))
            for value in np.unique(labels_of(int(i)))
            if 5 * fold < value <= 5 * fold + 5 and i != 0
        ]
        file = folder / f"isaid/val/fold{fold}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(lines))
        lists.append(_source(f"isaid/val/fold{fold}.txt", file))
    archive = replace(_source("iSAID_5i.zip", path), folder="iSAID_patches")
    return Release(archive, tuple(lists), {"tiles": len(TILES)})


def _source(name: str, path: Path) -> SourceFile:
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return SourceFile(name=name, size=len(content), sha256=sha256, extracted_size=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archives")


@pytest.fixture(scope="module")
def release(folder: Path) -> Release:
    return write_archive(folder)


@pytest.fixture(scope="module")
def prepared(
    release: Release, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> PreparedDataset:
    return run(release, tmp_path_factory.mktemp("data"), folder)


def run(release: Release, data_root: Path, from_dir: Path, **options: object) -> PreparedDataset:
    settings = PrepareOptions(data_root, from_dir, shots=(1, 2))
    return prepare(Isaid(IsaidOptions.model_validate(options), release), settings)


def test_tiles_and_labels_are_as_in_the_archive(prepared: PreparedDataset) -> None:
    assert prepared.classes == CLASSES
    assert prepared.image_ids == tuple(sorted(TILES))
    for tile, name in enumerate(TILES):
        np.testing.assert_array_equal(prepared.labels(name), labels_of(tile))
    assert verify(prepared, full=True) == []


def test_the_published_lists_are_walked_to_their_end(
    prepared: PreparedDataset, folder: Path
) -> None:
    assert [fold.novel for fold in prepared.folds.folds] == [
        tuple(range(5)), tuple(range(5, 10)), tuple(range(10, 15))
    ]  # fmt: skip
    for fold in range(3):
        lines = (folder / f"isaid/val/fold{fold}.txt").read_text().split()
        np.random.seed(0)  # the published loader's words follow
        of_class: dict[int, list[str]] = {}
        for line in lines:
            name, _, label = line.partition("__")
            of_class.setdefault(int(label) - 1, []).append(name)
        for episode, line in zip(prepared.episodes("hsnet", fold, 2), lines, strict=True):
            query, _, label = line.partition("__")
            supports: list[str] = []
            while len(supports) < 2:
                name = np.random.choice(of_class[int(label) - 1], 1, replace=False)[0]
                if name != query:
                    supports.append(str(name))
            assert (episode.query, episode.class_index) == (query, int(label) - 1)
            assert episode.supports == tuple(supports)


def test_what_the_lists_lack_is_said(prepared: PreparedDataset) -> None:
    assert "2 pairs that the masks show are not listed" in prepared.manifest["notes"]


def test_derived_lists_hold_every_class_in_sight(
    release: Release, folder: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    with zipfile.ZipFile(folder / "iSAID_5i.zip") as bundle:
        bundle.extractall(mine)  # the folder alone, without lists
    folds = run(release, tmp_path / "data", mine, lists="derived").folds
    assert folds.lists == "derived"
    assert sum(len(fold.test) for fold in folds.folds) == 2 * len(TILES)
    assert folds.folds[0].test[0] == (TILES[0], 0)


def test_tiles_of_one_large_image_can_be_kept_apart(
    release: Release, prepared: PreparedDataset, folder: Path, tmp_path: Path
) -> None:
    dataset = run(release, tmp_path, folder, apart=True)
    assert dataset.folds.lists == "published, tiles apart"

    def together(of: PreparedDataset) -> int:
        episodes = of.episodes("hsnet", 0, 2)
        return sum(e.query[:5] in {s[:5] for s in e.supports} for e in episodes)

    assert together(dataset) == 0 < together(prepared)


def test_the_command_runs_it(prepared: PreparedDataset, tmp_path: Path) -> None:
    arguments = ["run", "-d", "isaid", "-m", "all-foreground", "--protocol", "hsnet"]
    arguments += ["--folds", "2", "--shots", "1", "--quiet"]
    arguments += ["--data-root", str(prepared.root.parent), "--results-root", str(tmp_path)]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    path = tmp_path / "isaid/hsnet/all-foreground/fold2_1shot/run.json"
    record = json.loads(path.read_text())
    assert record["setup"]["episodes"]["count"] == len(prepared.folds.folds[2].test)


def test_coloured_masks_and_other_values_are_named(tmp_path: Path) -> None:
    release = write_archive(tmp_path, coloured=4, odd=7)
    with pytest.raises(DatasetError) as caught:
        run(release, tmp_path / "data", tmp_path)
    lines = str(caught.value).splitlines()
    assert f"{TILES[4]}_instance_color_RGB.png is of mode RGB" in lines[1]
    assert f"{TILES[7]}_instance_color_RGB.png holds the values [99]" in lines[2]
    assert len(lines) == 4 and lines[3].endswith("28 images would remain")


def test_lists_of_another_fold_or_of_unknown_tiles_are_refused(tmp_path: Path) -> None:
    release = write_archive(tmp_path)
    lax = replace(
        release, lists=tuple(replace(file, sha256=None, size=None) for file in release.lists)
    )
    file = tmp_path / "isaid/val/fold0.txt"
    text = file.read_text()
    for line, message in (
        (f"{TILES[0]}__15\n", "lists classes of another fold"),
        ("P9999_0_24_0_24__01\n", "P9999_0_24_0_24"),
        (f"{TILES[0]}__16\n", "expected IMAGE__CLASS"),
    ):
        file.write_text(text + line)
        with pytest.raises(DatasetError, match=message):
            run(lax, tmp_path / f"data{line[-3:-1]}", tmp_path)


def test_the_real_release_is_complete() -> None:
    sources = Isaid(IsaidOptions(), ISAID_5I).sources()
    assert [source.name for source in sources] == [
        "iSAID_5i.zip", *(f"isaid/val/fold{fold}.txt" for fold in range(3))
    ]  # fmt: skip
    assert all(source.urls and source.page and not source.sha256 for source in sources)
    derived = Isaid(IsaidOptions(lists="derived"), ISAID_5I).sources()
    assert [source.name for source in derived] == ["iSAID_5i.zip"]
