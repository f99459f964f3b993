"""Names of classes as tools write them beside the images, or in a file for `--colors`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_prep.datasets.folder.legend import read_legend
from datasets_prep.errors import DatasetError
from tests.datasets_prep import folders
from tests.datasets_prep.datasets.test_folder_strangers import (
    COLOURS,
    check,
    each,
    in_colour,
    one_palette,
)
from tests.datasets_prep.folders import CLASSES, label_map, make, write

quick, top = folders.quick, folders.top
CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\n" + "".join(
    f"{name}:{','.join(map(str, COLOURS[i + 1]))}::\n" for i, name in enumerate(CLASSES)
)
VOID = "ignore:255,255,255::\n"
HEX = {name: "#{:02x}{:02x}{:02x}".format(*COLOURS[i + 1]) for i, name in enumerate(CLASSES)}
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def cityscapes(*more: tuple[str, int, bool, tuple[int, ...]]) -> str:
    """A table as in Cityscapes' `labels.py`: name, id, ..., whether ignored, colour."""
    classes = [(n, i + 1, False, tuple(COLOURS[i + 1].tolist())) for i, n in enumerate(CLASSES)]
    labels = [
        f"    Label(  '{name}' , {number} , 255 , 'x' , 0 , False , {ignored} , {colour} ),"
        for name, number, ignored, colour in [*more, *classes]
    ]
    return "\n".join(["labels = [", *labels, "]", "raise SystemExit"])


CAMVID = "0 0 0\tbackground\n1 2 3\tcat\n4 5 6\tdog\n7 8 9 fox\n9 9 8 owl"
TABLE = "name,r,g,b\nbackground,0,0,0\ncat,1,2,3\ndog,4,5,6\nfox,7,8,9\nowl,9,9,8"
NNUNET = {"labels": {"background": 0, "cat": 1, "owl": 4, "dog": 2, "fox": 3}}
NNUNET_V1 = {"labels": {"0": "background", "1": "cat", "2": "dog", "3": "fox", "4": "owl"}}
COCO = {"categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]}
BESIDE = {
    "CVAT": ("labelmap.txt", CVAT),
    "names": ("classes.txt", "\ufeffcat\ndog\r\nfox\n\nowl\n"),
    "names below": ("labels/classes.txt", "cat\ndog\nfox\nowl\n"),
    "LabelMe": ("class_names.txt", "__ignore__\n_background_\ncat\ndog\nfox\nowl"),
    "numbers": ("classes.txt", "4 owl\n3 fox\n2 dog\n1 cat"),
    "CamVid": ("label_colors.txt", CAMVID),
    "table": ("class_dict.csv", TABLE),
    "YOLO": ("data.yaml", "path: x\nnc: 4\nnames: [cat, dog, fox, owl]\n"),
    "YOLO's numbers": ("dataset.yaml", "names: {0: cat, 1: dog, 2: fox, 3: owl}\n"),
    "nnU-Net": ("dataset.json", json.dumps(NNUNET)),
    "nnU-Net of old": ("dataset.json", json.dumps(NNUNET_V1)),
    "COCO": ("dataset.json", json.dumps(COCO)),
}


@pytest.mark.parametrize("form", BESIDE)
def test_names_beside_the_images_are_read(form: str, top: Path, tmp_path: Path) -> None:
    place, text = BESIDE[form]
    (top / place).write_text(text)
    dataset = make(top, tmp_path / "data", classes=None)
    assert dataset.classes == CLASSES
    assert dataset.manifest["notes"][0] == f"4 classes are named by {Path(place).name}"
    for name in dataset.image_ids:
        assert np.array_equal(dataset.labels(name), label_map(int(name[3:])))


@pytest.mark.parametrize("kind", [in_colour, one_palette])
def test_a_legend_beside_coloured_labels_is_read_by_colour(
    kind: object, top: Path, tmp_path: Path
) -> None:
    each(kind)(top)  # type: ignore[arg-type]
    (top / "labelmap.txt").write_text(CVAT + VOID)
    if kind is one_palette:  # whose index 255 is black
        for path in (top / "labels").iterdir():
            write(path, label_map(int(path.stem[3:])) * 0 + label_map(int(path.stem[3:])))
    dataset = make(top, tmp_path / "data", classes=None)
    assert dataset.classes == CLASSES
    check(dataset)


def palette_file(path: Path) -> None:
    image = Image.fromarray(label_map(0)).convert("P")
    image.putpalette([*COLOURS.ravel().tolist(), *[9] * 750, 255, 255, 255])
    image.save(path)


COLOUR_FILES = {
    "labelmap.txt": CVAT + VOID,
    "labels.py": cityscapes(("background", 0, False, BLACK), ("out of roi", 9, True, WHITE)),
    "list.json": json.dumps(
        [
            {"name": name, "color": colour}
            for name, colour in [("background", BLACK), ("void", "#ffffff"), *HEX.items()]
        ]
    ),
    "object.json": json.dumps({"background": BLACK, "void": WHITE, **HEX}),
    "rgb.txt": "0 0 0 background\n255 255 255 void\n"
    + "\n".join(f"{' '.join(map(str, COLOURS[i + 1]))}\t{n}" for i, n in enumerate(CLASSES)),
}


@pytest.mark.parametrize("form", COLOUR_FILES)
def test_files_of_colours_are_read(form: str, top: Path, tmp_path: Path) -> None:
    each(in_colour)(top)
    (tmp_path / form).write_text(COLOUR_FILES[form])
    dataset = make(top, tmp_path / "data", classes=None, colors=tmp_path / form)
    assert dataset.classes == CLASSES
    check(dataset)


@pytest.mark.parametrize("beside", [True, False])
def test_what_is_transparent_is_background(beside: bool, top: Path, tmp_path: Path) -> None:
    for path in (top / "labels").iterdir():
        labels = label_map(int(path.stem[3:]))
        # An eraser leaves the colour that was painted, and takes its alpha.
        colours = COLOURS[np.where(labels % 255 > 0, labels, 1)].astype(np.uint8)
        alpha = np.where(labels % 255 > 0, 255, 0).astype(np.uint8)
        write(path, np.dstack([colours, alpha]))
    file = (top if beside else tmp_path) / "labelmap.txt"
    file.write_text(CVAT)
    given = {"classes": None} | ({} if beside else {"colors": file})
    dataset = make(top, tmp_path / "data", **given)
    for name in dataset.image_ids:
        assert np.array_equal(dataset.labels(name), label_map(int(name[3:])) % 255)
    soft = np.dstack([colours, alpha // 2])
    write(top / "labels/s0_00.png", soft)
    with pytest.raises(
        DatasetError, match=r"s0_00\.png: it has pixels that are partly transparent"
    ):
        make(top, tmp_path / "soft", **given)


@pytest.mark.parametrize("kind", [in_colour, None])
@pytest.mark.parametrize("given", [{"background": False}, {"ignore": (2,)}])
def test_options_that_a_legend_leaves_no_room_for_are_refused(
    kind: object, given: dict[str, object], top: Path, tmp_path: Path
) -> None:
    if kind is not None:
        each(kind)(top)  # type: ignore[arg-type]
    (top / "labelmap.txt").write_text(CVAT + VOID)
    with pytest.raises(DatasetError, match=r"labelmap\.txt (says|gives)"):
        make(top, tmp_path / "data", classes=None, **given)


def test_colours_without_names_take_those_of_the_classes(top: Path, tmp_path: Path) -> None:
    each(in_colour)(top)
    palette_file(tmp_path / "any.png")
    with pytest.raises(DatasetError, match=r"any\.png has colours without names"):
        make(top, tmp_path / "data", classes=None, colors=tmp_path / "any.png")
    check(make(top, tmp_path / "data", colors=tmp_path / "any.png"))
    every = [*COLOURS.tolist(), *[[9, 9, n] for n in range(250)], [255] * 3]
    (tmp_path / "map.json").write_text(json.dumps(every))
    check(make(top, tmp_path / "data", colors=tmp_path / "map.json"))


def test_cityscapes_table_is_read_without_running_it(tmp_path: Path) -> None:
    path = tmp_path / "labels.py"
    others = (("out of roi", 0, True, WHITE), ("unlabeled", 255, True, WHITE))
    path.write_text(cityscapes(("plate", -1, True, tuple(COLOURS[4].tolist())), *others))
    legend = read_legend(path)
    assert legend.classes == CLASSES
    assert legend.by_number(CLASSES, 0) == {0: 255, 255: 255, 1: 1, 2: 2, 3: 3, 4: 4}
    assert legend.by_colour(CLASSES)[0xFFFFFF] == 255
    assert len(legend.by_colour(CLASSES)) == 5


def test_values_without_names_are_counted(top: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as raised:
        make(top, tmp_path / "data", classes=None)
    said = str(raised.value).splitlines()
    assert "  1: 72 pixels in 6 files" in said and "  255: 120 pixels in 12 files" in said
    assert said[-1].endswith("in --name mine --classes class1,class2,class3,class4")
    each(one_palette)(top)
    with pytest.raises(DatasetError, match="1: #dc2828: 72 pixels in 6 files"):
        make(top, tmp_path / "data", classes=None)
    each(in_colour)(top)
    with pytest.raises(DatasetError, match='"#000000", "class1": "#28c83c", "class2"'):
        make(top, tmp_path / "data", classes=None)


def test_a_list_that_fits_in_two_ways_is_asked_for(top: Path, tmp_path: Path) -> None:
    for path in (top / "labels").iterdir():
        labels = label_map(int(path.stem[3:]))
        write(path, np.where(labels == 4, 0, labels).astype(np.uint8))
    (top / "classes.txt").write_text("cat\ndog\nfox\nowl\n")
    with pytest.raises(DatasetError, match="the labels have 0 and no 4: give --background if"):
        make(top, tmp_path / "data", classes=None)
    dataset = make(top, tmp_path / "a", classes=None, background=False)
    assert (dataset.labels("s0_00") == 2).sum() == 12
    dataset = make(top, tmp_path / "b", classes=None, background=True)
    assert (dataset.labels("s0_00") == 1).sum() == 12


def test_files_that_do_not_agree_are_named(top: Path, tmp_path: Path) -> None:
    (top / "classes.txt").write_text("cat\ndog\n")
    (top / "data.yaml").write_text("names: [cat, owl]")
    with pytest.raises(DatasetError, match=r"classes\.txt and \S+data\.yaml name different"):
        make(top, tmp_path / "data", classes=None)
    (top / "classes.txt").write_text("cat\ncat\n")
    (top / "data.yaml").write_text("names: [cat, [}")
    with pytest.raises(DatasetError, match=r"(?s)classes\.txt has the name cat twice.*data\.yaml"):
        make(top, tmp_path / "data", classes=None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cat:1,2,300::", "1,2,300 is no colour"),
        ("cat:1,2,3\ncat:1,2,4", "has the name cat twice"),
        ("cat:1,2,3\ndog:1,2,3", "gives cat and dog one colour"),
        ("cat:1,2,3\ndog:::", "has no colour of 'dog'"),
        ("", "it is empty"),
    ],
)
def test_wrong_files_of_colours_are_refused(
    text: str, said: str, top: Path, tmp_path: Path
) -> None:
    (tmp_path / "map.txt").write_text(text)
    with pytest.raises(DatasetError, match=said):
        make(top, tmp_path / "data", classes=None, colors=tmp_path / "map.txt")
