"""LVIS as it is prepared: masks that overlap, classes of every shot, lists as published."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from benchmarks.cli import main
from datasets_prep.datasets.lvis import Lvis, LvisOptions
from datasets_prep.datasets.lvis.index import read_index
from datasets_prep.datasets.lvis.lists import derived_lists, published_lists
from datasets_prep.datasets.lvis.release import LVIS_V1, Counts
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import verify
from tests.datasets_prep import lvis_fixture
from tests.datasets_prep.lvis_fixture import HEIGHT, SHOWN, WIDTH, Tiny, TinyLvis, dumped, run
from tests.datasets_prep.server import Reply, running

short_lists, tiny = lvis_fixture.short_lists, lvis_fixture.tiny


@pytest.fixture(scope="module")
def prepared(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return run(tiny[1], tmp_path_factory.mktemp("data"), tiny[0].folder)


def united(tiny: TinyLvis, image: str, category: int) -> NDArray[Any]:
    """The union of a class's instances, by `annToMask` one by one."""
    from pycocotools.coco import COCO

    number = int(image.rpartition("/")[2])
    coco = COCO()
    coco.imgs = {number: {"height": HEIGHT, "width": WIDTH}}
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for each in tiny.annotations["annotations"]:
        if (each["image_id"], each["category_id"]) == (number, category):
            mask |= coco.annToMask(each) == 1
    return mask


def test_instances_of_a_class_are_united_and_classes_overlap(
    tiny: Tiny, prepared: PreparedDataset
) -> None:
    assert prepared.classes == tuple(f"thing_{category}" for category in SHOWN)
    assert prepared.image_ids == tuple(
        sorted((name[:-4] for name in tiny[0].images), key=lambda name: name.rpartition("/")[2])
    )
    overlap = 0
    for image in prepared.image_ids:
        covered = np.zeros((HEIGHT, WIDTH), int)
        for category in SHOWN:
            mask = prepared.mask(image, category - 1)
            np.testing.assert_array_equal(mask, united(tiny[0], image, category))
            covered += mask
        overlap += int((covered > 1).sum())
    assert overlap > 0
    assert verify(prepared, full=True) == []


def test_the_classes_depend_on_the_shots(tiny: Tiny, prepared: PreparedDataset) -> None:
    for shots in (1, 5):
        order = [c - 1 for c in tiny[0].pickled if SHOWN[c] > shots]
        size = len(order) // 10
        for fold in range(10):
            chosen = prepared.folds.fold(fold, shots)
            assert chosen.novel == tuple(order[fold + 10 * v] for v in range(size))
            assert sorted(chosen.novel + chosen.base) == list(range(25))
            episodes = prepared.episodes("hsnet", fold, shots)
            assert [e.class_index for e in episodes] == [chosen.novel[i % size] for i in range(30)]
            assert {e.class_index for e in prepared.episodes("fixed-v1", fold, shots)} == {
                *chosen.novel
            }
    assert len(prepared.folds.fold(0, 1).novel) == 2
    assert len(prepared.folds.fold(0, 5).novel) == 1
    assert [prepared.folds.fold(f, 1).novel for f in range(10)] != [
        prepared.folds.fold(f, 5).novel for f in range(10)
    ]


def published_draws(
    pickled: dict[int, dict[str, Any]], fold: int, shots: int, count: int
) -> list[tuple[int, str, list[str]]]:
    """The published loader's words, with the global generator that it uses."""
    np.random.seed(0)
    ids = [i for i in list(pickled.keys()) if len(pickled[i]) > shots]
    class_ids = [ids[fold + 10 * v] for v in range(len(ids) // 10)]
    drawn = []
    for idx in range(count):
        chosen = class_ids[idx % len(class_ids)]
        query = np.random.choice(list(pickled[chosen].keys()), 1, replace=False)[0]
        supports: list[str] = []
        while len(supports) < shots:
            support = np.random.choice(list(pickled[chosen].keys()), 1, replace=False)[0]
            if support != query:
                supports.append(str(support))
        drawn.append((chosen, str(query), supports))
    return drawn


@pytest.mark.parametrize("shots", [1, 5])
def test_the_hsnet_lists_are_what_the_published_loader_draws(
    tiny: Tiny, prepared: PreparedDataset, shots: int
) -> None:
    for fold in (0, 7):
        ours = [
            (e.class_index + 1, f"{e.query}.jpg", [f"{s}.jpg" for s in e.supports])
            for e in prepared.episodes("hsnet", fold, shots)
        ]
        assert ours == published_draws(tiny[0].pickled, fold, shots, 30)


def test_fixed_classes_are_the_same_whatever_the_shots(
    tiny: Tiny, prepared: PreparedDataset, tmp_path: Path
) -> None:
    dataset = run(tiny[1], tmp_path, tiny[0].folder, classes="fixed")
    assert dataset.folds.lists == "published, fixed classes"
    assert dataset.folds.of_shots == {}
    for fold in range(10):
        novel = dataset.folds.fold(fold, 1).novel
        assert novel == dataset.folds.fold(fold, 5).novel == prepared.folds.fold(fold, 5).novel
        one, five = (dataset.episodes("fixed-v1", fold, shots) for shots in (1, 5))
        assert [(e.query, e.supports) for e in one] == [(e.query, e.supports[:1]) for e in five]
    assert dataset.digest != prepared.digest


def test_derived_lists_need_no_pickle(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(tiny[0].folder, folder, ignore=shutil.ignore_patterns("lvis.zip"))
    dataset = run(tiny[1], tmp_path / "data", folder, lists="derived")
    candidates = [c - 1 for c, count in SHOWN.items() if count > 1]
    assert dataset.folds.folds[3].novel == (candidates[3], candidates[13])
    assert dataset.folds.folds[3].images_of[candidates[3]] == tuple(tiny[0].images_of(4))
    report = (dataset.root / "lists-report.txt").read_text()
    assert "the lists are derived from the annotations" in report


def test_the_report_compares_with_what_is_published(tiny: Tiny, tmp_path: Path) -> None:
    counts = Counts(14, 150, 25, {1: 2, 5: 2}, (("thing_1", "thing_2"),))
    dataset = run(replace(tiny[1], counts=counts), tmp_path, tiny[0].folder)
    report = (dataset.root / "lists-report.txt").read_text()
    assert "images in the annotation file: 14 (published 14)" in report
    assert "classes a fold with more than 1 images: 2 (published 2)" in report
    assert "classes a fold with more than 5 images: 1 (published 2, DIFFERS)" in report
    assert "hold the pairs that the annotations give, in another order" in report
    assert [note for note in dataset.manifest["notes"] if "DIFFERS" in note] == [
        f"annotations: {2 * sum(SHOWN.values())} (published 150, DIFFERS)",
        "classes a fold with more than 5 images: 1 (published 2, DIFFERS)",
    ]
    assert any("published is thing_1 to thing_2" in note for note in dataset.manifest["notes"])


def test_extracted_folders_serve_and_jobs_change_nothing(
    tiny: Tiny, prepared: PreparedDataset, tmp_path: Path
) -> None:
    folder = tmp_path / "LVIS"
    for archive in tiny[0].folder.glob("*2017.zip"):
        with zipfile.ZipFile(archive) as bundle:
            bundle.extractall(folder / "coco")
    for name in ("lvis.zip", "lvis_v1_val.json.zip"):
        shutil.copy(tiny[0].folder / name, folder)
    dataset = run(tiny[1], tmp_path / "data", folder)
    embedded = run(tiny[1], tmp_path / "embedded", folder, embed=True)
    assert dataset.digest == embedded.digest == prepared.digest
    kept = sorted(path.name for path in (dataset.root / "raw/images").rglob("*.jpg"))
    assert kept == sorted(name.partition("/")[2] for name in tiny[0].images)
    shutil.rmtree(folder)
    assert verify(dataset, full=True) == verify(embedded, full=True) == []


def test_single_images_are_fetched(tiny: Tiny, prepared: PreparedDataset, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(tiny[0].folder, folder, ignore=shutil.ignore_patterns("*2017.zip"))
    with running() as server:
        for name, content in tiny[0].images.items():
            address = server.serve(f"/{name}", Reply(content))
        release = replace(tiny[1], single=address.rpartition("/")[0].rpartition("/")[0])
        dataset = run(release, tmp_path / "data", folder, only="eval")
        assert len(server.requests) == len(dataset.image_ids) > 10
    for fold in range(10):
        for shots in (1, 5):
            for recipe in ("hsnet", "fixed-v1"):
                assert dataset.episodes(recipe, fold, shots) == prepared.episodes(
                    recipe, fold, shots
                )


def test_the_command_runs_it_with_its_own_classes_for_every_shot(
    prepared: PreparedDataset, tmp_path: Path
) -> None:
    done = CliRunner().invoke(
        main,
        [
            *("run", "-d", "lvis", "-m", "all-foreground", "--protocol", "hsnet@518"),
            *("--folds", "1", "--shots", "1,5", "--quiet"),
            *("--data-root", str(prepared.root.parent), "--results-root", str(tmp_path)),
        ],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    for shots in (1, 5):
        path = tmp_path / f"lvis/hsnet@518/all-foreground/fold1_{shots}shot/run.json"
        record = json.loads(path.read_text())
        novel = prepared.folds.fold(1, shots).novel
        assert record["setup"]["dataset"]["classes"] == {
            str(index): f"thing_{index + 1}" for index in novel
        }
        assert set(record["class_iou"]) == {str(index) for index in novel}
        assert 0 < record["miou"] < 1
    problems = CliRunner().invoke(
        main, ["episodes", "verify", "lvis", "--data-root", str(prepared.root.parent)]
    )
    assert problems.exit_code == 0, problems.output


def test_a_category_may_be_counted_from_zero(tiny: Tiny) -> None:
    content = {c - 1: images for c, images in tiny[0].pickled.items()}
    path = tiny[0].folder / "zero.pkl"
    path.write_bytes(dumped(content))
    annotated = {c - 1: tuple(tiny[0].images_of(c)) for c in SHOWN if SHOWN[c]}
    lists = published_lists(path, annotated, ())
    assert list(lists) == list(content)
    assert {index: sorted(images) for index, images in lists.items()} == {
        index: sorted(images) for index, images in annotated.items()
    }


def test_derived_lists_are_in_the_order_of_ids(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "lvis_v1_val.json"
    path.write_text(json.dumps(tiny[0].annotations))
    lists = derived_lists(read_index(path).entries)
    assert list(lists) == [c - 1 for c in SHOWN if SHOWN[c]]
    assert all(list(lists[c - 1]) == tiny[0].images_of(c) for c in SHOWN if SHOWN[c])


def test_the_real_release_is_complete() -> None:
    sources = Lvis(LvisOptions(), LVIS_V1).sources()
    assert [source.name for source in sources] == [
        "lvis_v1_val.json.zip", "train2017.zip", "val2017.zip", "lvis.zip"
    ]  # fmt: skip
    assert [source.sha256 is None for source in sources] == [False, False, False, True]
    few = Lvis(LvisOptions(only="eval", lists="derived"), LVIS_V1).sources()
    assert [source.name for source in few] == ["lvis_v1_val.json.zip"]
    assert LVIS_V1.counts is not None and len(LVIS_V1.counts.ends) == 10
