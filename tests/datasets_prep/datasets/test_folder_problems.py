"""Folders and options that are wrong: everything is named at once and nothing is written."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from datasets_prep.datasets.folder.options import FolderOptions
from datasets_prep.errors import DatasetError
from tests.datasets_prep import folders
from tests.datasets_prep.folders import CLASSES, label_map, make, photo, write, write_masks

quick, top = folders.quick, folders.top


def test_all_problems_are_reported_together_before_anything_is_written(
    top: Path, tmp_path: Path
) -> None:
    (top / "labels/s1_01.png").unlink()  # missing label
    (top / "images/s2_02.png").unlink()  # label without an image
    write(top / "labels/s0_03.png", label_map(3)[:, :7])  # another size
    unknown = label_map(4)
    unknown[0, :2] = 77, 78
    write(top / "labels/s1_04.png", unknown)
    content = (top / "images/s2_05.png").read_bytes()
    (top / "images/s2_05.png").write_bytes(content[:100])  # truncated image
    (top / "labels/s0_06.png").write_bytes(b"no image")
    write(top / "labels/s1_07.png", photo(7))
    write(top / "images/s2_08.jpg", photo(8))  # a second file of one name
    write(top / "images/x,y.png", photo(0))
    (top / "images/notes.txt").write_text("x")
    write(top / "images/odd.png", photo(1))  # not matched by the group
    write(top / "labels/odd.png", label_map(1))
    write(top / "images/s0_20.tif", photo(1)[..., 0].astype(np.uint16) * 200)  # 16 bits
    write(top / "labels/s0_20.png", label_map(1))
    with pytest.raises(DatasetError) as raised:
        make(top, tmp_path / "data", group="^(s[0-9])_")
    message = str(raised.value)
    for expected in (
        r"12 problems, nothing was prepared",
        r"no label map [^\n]*\n +\S+images/s1_01\.png",
        r"label map without an image \(1\):\n +\S+labels/s2_02\.png",
        r"of another size[^\n]*\n +\S+labels/s0_03\.png: 7×8, the image is 10×8",
        r"no class, background or --ignore \(1\):\n +\S+s1_04\.png: 77 \(1 px\), 78 \(1 px\)",
        r"unreadable image \(1\):\n +\S+images/s2_05\.png",
        r"unreadable label file \(1\):\n +\S+labels/s0_06\.png",
        r"label file in colour [^\n]*\n +\S+labels/s1_07\.png: mode RGB",
        r"two files of one name \(1\):\n +\S+s2_08\.jpg and \S+s2_08\.png",
        r"comma or control character[^\n]*\n +\S+x,y\.png",
        r"not one of \.jpg[^\n]*\n +\S+notes\.txt",
        r"no match for --group [^\n]*\n +odd\n",
        r"more than 8 bits[^\n]*\n +\S+s0_20\.tif: mode I;16",
    ):
        assert re.search(expected, message + "\n"), (expected, message)
    written = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert [path.name for path in written] == [".lock"]


def test_problems_of_masks(top: Path, tmp_path: Path) -> None:
    write_masks(top, {name: index for index, name in enumerate(CLASSES)})
    write(top / "masks/cat/s0_00.png", label_map(0))  # values 0, 1, 2, 255
    write(top / "masks/dog/none.png", label_map(0))
    write(top / "masks/ant/s0_00.png", np.zeros((8, 10), dtype=np.uint8))
    write(top / "masks/dog/s1_04.png", np.zeros((3, 3), dtype=np.uint8))
    for path in (top / "masks").rglob("s2_11.png"):
        path.unlink()
    with pytest.raises(DatasetError) as raised:
        make(top, tmp_path / "data", classes=(*CLASSES, "yak"), ignore=(128,))
    for expected in (
        r" 6 problems",
        r"not in --classes \(1\):\n +\S+masks/ant",
        r"more than one value [^\n]*\n +\S+masks/cat/s0_00\.png: 3 values: 1, 2, 255",
        r"mask without an image \(1\):\n +\S+masks/dog/none\.png",
        r"of another size[^\n]*\n +\S+masks/dog/s1_04\.png: 3×3, the image is 10×8",
        r"no mask of any class [^\n]*\n +\S+images/s2_11\.png",
        r"class without a folder \(1\):\n +\S+masks/yak",
    ):
        assert re.search(expected, str(raised.value)), (expected, str(raised.value))


def test_litter_of_network_drives_is_no_class(top: Path, tmp_path: Path) -> None:
    write_masks(top, {name: index for index, name in enumerate(CLASSES)})
    for name in ("@eaDir", "__MACOSX", ".Trash"):
        (top / "masks" / name).mkdir()
    assert make(top, tmp_path / "data", classes=None, ignore=(128,)).classes == CLASSES


@pytest.mark.parametrize(
    ("own", "second", "options"),
    [
        ("s0_00_mask.png", "s0_00_mask.tif", {"mask_suffix": "_mask"}),
        ("s0_00_mask.png", "s0_00.png", {"mask_suffix": "_mask"}),
        ("S0_00.png", "S0_00.tif", {}),
    ],
)
@pytest.mark.parametrize("kind", ["labels", "masks/cat"])
def test_an_image_with_two_label_files_is_left_out(
    own: str, second: str, options: dict[str, object], kind: str, top: Path, tmp_path: Path
) -> None:
    if kind != "labels":
        write_masks(top, {name: index for index, name in enumerate(CLASSES)})
        options = options | {"ignore": (128,)}
    content = (top / kind / "s0_00.png").read_bytes()
    (top / kind / "s0_00.png").unlink()
    for name in (own, second):
        (top / kind / name).write_bytes(content)
    with pytest.raises(DatasetError, match="two files of one name") as raised:
        make(top, tmp_path / "data", **options)
    assert own in str(raised.value) and second in str(raised.value)
    dataset = make(top, tmp_path / "data", skip_bad=True, **options)
    assert dataset.manifest["skipped"] == ["s0_00"] and "s0_00" not in dataset.image_ids


def test_long_lists_of_problems_are_counted(top: Path, tmp_path: Path) -> None:
    for path in (top / "labels").iterdir():
        write(path, label_map(0)[:5])
    with pytest.raises(DatasetError, match=r"12 problems(.|\n)*\(12\)(.|\n)*and 2 more$"):
        make(top, tmp_path / "data")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ()}, "--name mine --classes class1,class2,class3,class4$"),
        ({"folds": 5}, "--folds 5: there are only 4 classes"),
        ({"ignore": (4,)}, "--ignore 4 is also the label value of 'owl'"),
        ({"ignore": (0,)}, "--ignore 0 is also the label value of 'background'"),
        ({"ignore": (0,), "background": False}, "is also the label value of 'cat'"),
        ({"classes": tuple(f"c{i}" for i in range(255))}, "255 classes are more than the 254"),
    ],
)
def test_options_that_do_not_fit_the_folder(
    options: dict[str, object], message: str, top: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        make(top, tmp_path / "data", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "pascal"}, "'pascal' is a name that the suite uses itself"),
        ({"name": "pascal-partial"}, "'pascal-partial' is a name that the suite uses itself"),
        ({"name": "cdfss"}, "'cdfss' is a name that the suite uses itself"),
        ({"name": "a/b"}, "'a/b' is no name"),
        ({"name": ".."}, "is no name"),
        ({"classes": ("a", "b", "a")}, "given twice: 'a'"),
        ({"classes": ("a", " ")}, "empty or given twice: ' '"),
        ({"ignore": (70000,)}, "70000 is outside"),
        ({"group": "(a"}, "is no regular expression"),
        ({"group": "^a"}, "has no group"),
        ({"folds": 0}, "greater than or equal to 1"),
        ({"min_area": 1.5}, "less than or equal to 1"),
        ({"folds": 2, "folds_file": Path("f.yaml")}, "not both"),
        ({"shuffle": True}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FolderOptions(**{"folder": Path("x"), "name": "mine", **options})


def test_values_from_a_command_line_are_understood() -> None:
    options = FolderOptions(folder="x", name="mine", ignore=("11", "12"), folds="3")  # type: ignore[arg-type]
    assert options.ignore == (11, 12) and options.folds == 3


def test_a_folder_of_another_form_is_explained(top: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        make(tmp_path / "nowhere", tmp_path / "data")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="has no folder `images`"):
        make(tmp_path / "empty", tmp_path / "data")
    (top / "masks/cat").mkdir(parents=True)
    with pytest.raises(DatasetError, match="has both `labels` and `masks`"):
        make(top, tmp_path / "data")
    shutil.rmtree(top / "labels")
    with pytest.raises(DatasetError, match="--no-background is for labels/"):
        make(top, tmp_path / "data", background=False)
    shutil.rmtree(top / "masks")
    with pytest.raises(DatasetError, match="has neither `labels` nor `masks`"):
        make(top, tmp_path / "data")
    (top / "labels").mkdir()
    shutil.rmtree(top / "images")
    (top / "images").mkdir()
    with pytest.raises(DatasetError, match="no image"):
        make(top, tmp_path / "data")
