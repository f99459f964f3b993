import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from datasets_prep.builder import Content, Workspace
from datasets_prep.episodes.episode import digest
from datasets_prep.episodes.recipes import USUAL, recipes
from datasets_prep.errors import DatasetError
from datasets_prep.prepared import lists as lists_module
from datasets_prep.prepared import prepare as prepare_module
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare, verify
from datasets_prep.prepared.records import ImageRecord
from tests.datasets_prep.toy import Toy, pixels


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the two recipes with the shortest lists, to be quick."""
    few = {name: recipes()[name] for name in ("fixed-v1", "hsnet")}
    monkeypatch.setattr(lists_module, "recipes", lambda: few)


def tree(root: Path) -> dict[str, bytes]:
    """Every file below `root` but locks, by relative path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


class Changed(Toy):
    """A toy whose records pass through a function on their way."""

    def __init__(self, change: Callable[[Iterator[ImageRecord]], Iterator[ImageRecord]]) -> None:
        super().__init__()
        self.change = change

    def build(self, workspace: Workspace) -> Content:
        content = super().build(workspace)
        return replace(content, images=self.change(iter(content.images)))


def test_the_same_bytes_whatever_the_jobs_and_however_often(tmp_path: Path) -> None:
    for place, jobs in (("one", 1), ("two", 2)):
        prepare(Toy(files=True), PrepareOptions(tmp_path / place, jobs=jobs))
    first = tree(tmp_path / "one")
    assert first == tree(tmp_path / "two")
    assert "toy/manifest.json" in first and "toy/raw/a_000.0.png" in first
    prepare(Toy(files=True), PrepareOptions(tmp_path / "one"))
    assert tree(tmp_path / "one") == first


def test_the_digest_names_the_content(tmp_path: Path) -> None:
    digests = {
        prepare(Toy(**options), PrepareOptions(tmp_path)).digest
        for options in ({}, {"seed": 1}, {"folds": 1}, {"images": 23}, {"overlap": True})
    }
    assert len(digests) == 5


def test_manifest_says_what_is_there(tmp_path: Path) -> None:
    dataset = prepare(Toy(), PrepareOptions(tmp_path, shots=(1,)))
    manifest = dataset.manifest
    assert manifest["builder"] == {"name": "toy", "version": 1, "options": {"seed": 0}}
    assert manifest["counts"]["images"] == 24
    assert manifest["counts"]["test_pairs"] == [16, 16]
    assert "a toy" in manifest["notes"]
    names = {"classes.json", "folds.json", "images/state.json"}
    assert names < set(manifest["files"])
    listed = {name for name in manifest["files"] if name.startswith("episodes/")}
    assert listed == {f"episodes/{name}.jsonl" for name in manifest["episodes"]}
    assert "fixed-v1/fold1_1shot" in manifest["episodes"]
    assert not [name for name in manifest["episodes"] if "5shot" in name]


def test_a_list_that_cannot_be_drawn_is_a_note_and_its_use_an_error(tmp_path: Path) -> None:
    dataset = prepare(Toy(images=12), PrepareOptions(tmp_path, shots=(1, 5)))
    assert "fixed-v1/fold0_1shot" in dataset.manifest["episodes"]
    assert "fixed-v1/fold0_5shot" not in dataset.manifest["episodes"]
    assert any("fixed-v1/fold0_5shot" in note for note in dataset.manifest["notes"])
    with pytest.raises(DatasetError, match="too few for 5-shot"):
        dataset.episodes("fixed-v1", 0, 5)


def test_embedded_images_need_no_files_and_change_no_digest(tmp_path: Path) -> None:
    kept = prepare(Toy(files=True), PrepareOptions(tmp_path / "kept"))
    taken = prepare(Toy(files=True), PrepareOptions(tmp_path / "taken", embed_images=True))
    assert kept.digest == taken.digest
    shutil.rmtree(taken.root / "raw")
    for image in taken.image_ids:
        assert np.array_equal(np.asarray(kept.image(image)), np.asarray(taken.image(image)))
    assert verify(taken, full=True) == []


def test_wrong_content_leaves_the_former_state(tmp_path: Path) -> None:
    def failing(records: Iterator[ImageRecord]) -> Iterator[ImageRecord]:
        yield next(records)
        raise DatasetError("the second image is wrong")

    def repeated(records: Iterator[ImageRecord]) -> Iterator[ImageRecord]:
        first = next(records)
        yield from (first, first)

    def comma(records: Iterator[ImageRecord]) -> Iterator[ImageRecord]:
        yield replace(next(records), image_id="a,b")

    prepare(Toy(), PrepareOptions(tmp_path))
    before = tree(tmp_path)
    cases = {
        "second image": failing,
        "two images are called 'a_000'": repeated,
        "'a,b' has a comma": comma,
        "no images": lambda records: iter(()),
    }
    for message, change in cases.items():
        with pytest.raises(DatasetError, match=message):
            prepare(Changed(change), PrepareOptions(tmp_path))
        assert tree(tmp_path) == before


def test_too_little_disk_is_said_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="are needed"):
        prepare(Toy(needed=1 << 60), PrepareOptions(tmp_path))
    assert tree(tmp_path) == {}


def test_two_preparations_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    with (
        FileLock(tmp_path / "toy" / ".lock"),
        pytest.raises(DatasetError, match="another process is preparing"),
    ):
        prepare(Toy(), PrepareOptions(tmp_path))


class _Death(BaseException):
    """The process ends here; nothing that runs after it has an effect."""


_STEPS = ("mkdir", "replace", "rename", "unlink", "remove", "rmdir")


def _die_at(step: int, patch: pytest.MonkeyPatch) -> list[int]:
    """Let the file system die at its `step`-th change; returns a counter of the changes."""
    count = [0]

    def mortal(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] > step:
                raise _Death
            return function(*args, **kwargs)

        return wrapped

    for name in _STEPS:
        patch.setattr(os, name, mortal(getattr(os, name)))
    return count


@pytest.mark.parametrize("before", [None, 0], ids=["fresh", "prepared before"])
def test_death_at_any_step_leaves_a_whole_dataset_or_none(
    before: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists_module, "recipes", lambda: {"fixed-v1": recipes()["fixed-v1"]})
    options = PrepareOptions(tmp_path / "data", shots=(1,))
    new = prepare(Toy(seed=1, folds=1, files=True), replace(options, data_root=tmp_path / "new"))
    whole = {new.digest}
    if before is not None:
        old = prepare(Toy(seed=before, folds=1, files=True), options)
        whole.add(old.digest)
        shutil.copytree(options.data_root, tmp_path / "old")
    step, ended = 0, set()
    while True:
        shutil.rmtree(options.data_root, ignore_errors=True)
        if before is not None:
            shutil.copytree(tmp_path / "old", options.data_root)
        with monkeypatch.context() as patch:
            count = _die_at(step, patch)
            with suppress(_Death):
                prepare(Toy(seed=1, folds=1, files=True), options)
        if count[0] <= step:
            break
        try:
            found = PreparedDataset(options.data_root, "toy")
        except DatasetError as error:
            assert "not prepared" in str(error)
            ended.add("none")
        else:
            assert found.digest in whole
            assert verify(found, full=True) == []
            ended.add("new" if found.digest == new.digest else "old")
        if step % 4 == 0:
            again = prepare(Toy(seed=1, folds=1, files=True), options)
            assert (
                tree(options.data_root)["toy/manifest.json"]
                == (new.root / "manifest.json").read_bytes()
            )
            assert verify(again, full=True) == []
        step += 1
    assert step > 10
    assert {"none"} < ended if before is not None else "none" in ended


@pytest.mark.parametrize("name", ["classes.json", "folds.json", "episodes/hsnet/fold0_1shot.jsonl"])
def test_verify_names_a_changed_file(name: str, tmp_path: Path) -> None:
    dataset = prepare(Toy(), PrepareOptions(tmp_path))
    assert verify(dataset, full=False) == []
    path = dataset.root / name
    path.write_bytes(path.read_bytes() + b" ")
    (wrong,) = verify(dataset, full=False)
    assert str(path) in wrong and dataset.manifest["files"][name] in wrong
    path.unlink()
    (wrong,) = verify(dataset, full=False)
    assert wrong == f"{path} is missing"


def test_full_verification_finds_what_no_manifest_lists(tmp_path: Path) -> None:
    dataset = prepare(Toy(files=True), PrepareOptions(tmp_path))
    path = dataset.root / "raw" / "b_001.0.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    assert verify(dataset, full=False) == []
    (wrong,) = verify(dataset, full=True)
    assert str(path) in wrong
    path.unlink()
    (wrong,) = verify(dataset, full=True)
    assert "b_001.0.png" in wrong and "No such file" in wrong


def test_large_images_come_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"image": {"bytes": bytes(n)}, "label_map": None} for n in (1, 1, 60, 60, 1, 1, 1, 1)]
    monkeypatch.setattr(prepare_module, "_BYTES_PER_BATCH", 100)
    monkeypatch.setattr(prepare_module, "_ROWS_PER_BATCH", 5)
    batches = list(prepare_module._batches(rows))
    assert [len(batch) for batch in batches] == [4, 4]
    paths = [{"image": "a.jpg", "label_map": {"bytes": b"1"}}] * 7
    assert [len(batch) for batch in prepare_module._batches(paths)] == [5, 2]


def test_every_recipe_draws_from_the_prepared_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists_module, "recipes", recipes)
    dataset = prepare(Toy(images=48, group="^([^_]+)"), PrepareOptions(tmp_path))
    usual = [name for name in dataset.manifest["episodes"] if name.split("/")[0] in USUAL]
    assert len(usual) == 4 * 2 * 2  # recipes, folds, shots
    assert json.loads((dataset.root / "folds.json").read_text())["group"] == "^([^_]+)"
    for name, entry in dataset.manifest["episodes"].items():
        recipe, fold, shots = name.split("/")[0], int(name[-7]), int(name[-5])
        episodes = dataset.episodes(recipe, fold, shots)
        assert digest(episodes) == entry["digest"]
        assert len(episodes) == entry["episodes"]
        assert all(e.query[0] != s[0] for e in episodes for s in e.supports)
        novel = dataset.folds.fold(fold).novel
        for episode in episodes[:50]:
            assert episode.class_index in novel
            held = [
                bool((dataset.mask(image, episode.class_index) == 1).any())
                for image in (episode.query, *episode.supports)
            ]
            absent = recipe == "absent-v1" and episode.index % 2 == 1
            if recipe.startswith("nway"):  # of the classes asked for, some are not there
                absent = not held[0]
            assert held == [not absent, *[True] * shots]


def test_pixels_come_back_as_they_went_in(tmp_path: Path) -> None:
    dataset = prepare(Toy(seed=3), PrepareOptions(tmp_path))
    assert np.array_equal(np.asarray(dataset.image("a_000")), pixels(0, 3))
