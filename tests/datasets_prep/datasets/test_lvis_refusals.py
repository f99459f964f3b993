"""LVIS that does not hold together: refused by name, or left out where that is asked for."""

import copy
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets_prep.builder import Workspace
from datasets_prep.datasets.lvis import Lvis, LvisOptions
from datasets_prep.datasets.lvis.index import read_index
from datasets_prep.datasets.lvis.lists import fold_set, published_lists
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.faults import Faults
from datasets_prep.runtime.progress import SILENT
from tests.datasets_prep import lvis_fixture
from tests.datasets_prep.lvis_fixture import SHOWN, Tiny, run, write_tiny_lvis

short_lists, tiny = lvis_fixture.short_lists, lvis_fixture.tiny


def test_pickles_of_anything_else_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    annotated = {c - 1: tuple(tiny[0].images_of(c)) for c in SHOWN if SHOWN[c]}
    path = tmp_path / "lvis_val.pkl"
    for content, message in (
        # Not `print`, which Ray replaces in a process that has used it.
        (pickle.dumps({1: {"a": abs}}), "asks for builtins.abs; --lists derived does without"),
        (pickle.dumps([1, 2]), "expected a dict of category"),
        (pickle.dumps({1: {"val2017/000000000999.jpg": {}}}), "image val2017/000000000999"),
    ):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=message):
            published_lists(path, annotated, ())


def test_too_few_classes_for_so_many_shots_are_an_error(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"0 classes have more than 6 test images.*--shots"):
        run(tiny[1], tmp_path, tiny[0].folder, shots=(1, 6))
    lists = {index: ("a", "b") for index in range(23)}
    folds = fold_set(lists, 30, "per-shot", (1,), "derived")
    assert [fold.novel for fold in folds.folds[:2]] == [(0, 10), (1, 11)]  # 20, 21, 22 in none


def test_every_wrong_entry_is_named_and_can_be_left_out(tiny: Tiny, tmp_path: Path) -> None:
    mine, _ = write_tiny_lvis(tmp_path / "mine")
    content = mine.annotations
    first = content["annotations"][0]
    content["annotations"] += [
        {**first, "id": 9001, "category_id": 99},
        {**first, "id": 9002, "image_id": 999},
        {**first, "id": 9003, "image_id": 102, "segmentation": {"size": [1, 1], "counts": [1]}},
    ]
    content["images"].append({**content["images"][0], "id": 120})
    release = mine.write()
    with pytest.raises(DatasetError) as caught:
        run(release, tmp_path / "data", mine.folder)
    lines = str(caught.value).splitlines()
    assert "lvis_v1_val.json does not hold together:" in lines[0]
    assert any("the id 120 is not that of" in line for line in lines)
    assert any("annotation 9001 has the unknown category 99" in line for line in lines)
    assert any("annotation 9002 is of image 999, which is not there" in line for line in lines)
    dataset = run(release, tmp_path / "data", mine.folder, skip_bad=True)
    assert len(dataset.image_ids) == len(mine.images) - 2
    listed = {i for fold in dataset.folds.of_shots[5] for i, _ in fold.test}
    assert listed <= set(dataset.image_ids)


def test_a_missing_image_is_named(tiny: Tiny, tmp_path: Path) -> None:
    mine, _ = write_tiny_lvis(tmp_path / "mine")
    name = next(iter(mine.images))
    del mine.images[name]
    with pytest.raises(DatasetError, match=f"{name.partition('/')[2]} is not a readable image"):
        run(mine.write(), tmp_path / "data", mine.folder)


def test_other_categories_than_one_two_three_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    content = copy.deepcopy(tiny[0].annotations)
    del content["categories"][4]
    path = tmp_path / "lvis_v1_val.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="categories are not numbered 1, 2, 3"):
        read_index(path)


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 1, 99, 1e300, float("nan"), "", "val2017/1.jpg", [], [[]], {}, {"size": 1}]
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutated_annotations_are_read_or_named(
    tiny: Tiny, tmp_path: Path, data: st.DataObject
) -> None:
    folder = tmp_path / "mine"
    if not folder.exists():
        (tmp_path / "raw").mkdir()
        for archive in tiny[0].folder.glob("*2017.zip"):
            with zipfile.ZipFile(archive) as bundle:
                bundle.extractall(folder)
    content = copy.deepcopy(tiny[0].annotations)
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from(["annotations", "images", "categories"]))
        entry = data.draw(st.sampled_from(content[key]))
        field = data.draw(st.sampled_from(sorted(entry)))
        action = data.draw(st.sampled_from(["replace", "remove", "repeat", "entry"]))
        if action == "replace":
            entry[field] = data.draw(JUNK)
        elif action == "remove":
            del entry[field]
        elif action == "repeat":
            content[key].append(copy.deepcopy(entry))
        else:
            content[key][0] = data.draw(JUNK)
            break
    text = json.dumps(content)
    if data.draw(st.integers(0, 5)) == 0:
        text = text[: data.draw(st.integers(0, len(text)))]
    file = folder / "lvis_v1_val.json"
    file.write_text(text)
    paths = {
        "lvis_v1_val.json.zip": folder,
        **{f"{part}.zip": folder / part for part in ("train2017", "val2017")},
    }
    skip_bad = data.draw(st.booleans())
    workspace = Workspace(
        tmp_path, tmp_path / "raw", paths, 1, SILENT, shots=(1,), faults=Faults(skip_bad)
    )
    try:
        made = Lvis(LvisOptions(lists="derived"), tiny[1]).build(workspace)
        records = list(made.images)
        folds = made.folds({r.image_id: r.areas for r in records}, {})
    except DatasetError as error:
        assert str(folder) in str(error)
    else:
        known = {record.image_id for record in records}
        assert all(image in known for fold in folds.folds for image, _ in fold.test)
        assert skip_bad or not workspace.faults.left_out
