"""Folders as annotation tools and cameras write them: what the user sees, file by file."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import verify
from tests.datasets_prep import folders
from tests.datasets_prep.folders import CLASSES, label_map, make, names, photo, write, write_masks

quick, top = folders.quick, folders.top
COLOURS = np.array([[0, 0, 0], [220, 40, 40], [40, 200, 60], [50, 60, 230], [230, 210, 40]])
MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nignore:255,255,255::\n"
Change = Callable[[Path], object]


def each(change: Callable[[Path, NDArray[np.uint8]], object]) -> Change:
    """Save every label map anew."""

    def all_of(top: Path) -> None:
        for path in sorted((top / "labels").iterdir()):
            change(path, label_map(int(path.stem[3:])))

    return all_of


def in_colour(path: Path, labels: NDArray[np.uint8]) -> None:
    colours = np.full((256, 3), 255, np.uint8)
    colours[: len(COLOURS)] = COLOURS
    write(path, colours[labels])


def adaptive(path: Path, labels: NDArray[np.uint8]) -> None:
    in_colour(path, labels)
    with Image.open(path) as image:
        image.convert("P", palette=Image.Palette.ADAPTIVE, colors=4).save(path)


def one_palette(path: Path, labels: NDArray[np.uint8]) -> None:
    image = Image.fromarray(labels).convert("P")
    image.putdata(labels.ravel().tolist())
    image.putpalette(np.resize(COLOURS, (256, 3)).ravel().tolist())
    image.save(path)


def of_mode(mode: str) -> Change:
    return each(lambda path, labels: write(path, labels, mode))


def exif(orientation: int, side: int | None = None) -> Change:
    """Images stored turned, whose labels were painted on the upright view."""
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]

    def turn(top: Path) -> None:
        for name in names(top):
            pixels, labels = photo(int(name[3:])), label_map(int(name[3:]))
            kept = Image.Exif()
            kept[274] = orientation
            stored = Image.fromarray(pixels[:, :side]).transpose(back)
            stored.save(top / f"images/{name}.png", exif=kept)
            write(top / f"labels/{name}.png", labels[:, :side])

    return turn


def deep_tiff(top: Path) -> None:
    """A TIFF of 16 bits a channel: its header says so before anything is decoded."""
    import struct

    entries = [(256, 10), (257, 8), (258, 16), (259, 1), (262, 2), (277, 3)]
    body = b"II*\0" + struct.pack("<IH", 8, len(entries) + 1)
    for tag, value in entries:
        count = 3 if tag == 258 else 1
        body += (
            struct.pack("<HHIHH", tag, 3, count, value, 0)
            if count == 1
            else struct.pack("<HHII", tag, 3, 3, 104)
        )
    body += struct.pack("<HHII", 273, 4, 1, 110) + bytes(4)
    body = body.ljust(104, b"\0") + struct.pack("<3H", 16, 16, 16) + bytes(10 * 8 * 6)
    (top / "images/s0_00.png").unlink()
    (top / "images/s0_00.tif").write_bytes(body)


def masks(change: Callable[[Path], object] = lambda top: None) -> Change:
    def written(top: Path) -> None:
        write_masks(top, {name: index for index, name in enumerate(CLASSES)}, overlap=True)
        change(top)

    return written


def soft(top: Path) -> None:
    path = top / "masks/cat/s0_00.png"
    mask = np.asarray(Image.open(path)).copy()
    mask[3, 1:4] = 200, 100, 30
    write(path, mask)


def inverted(top: Path) -> None:
    for path in (top / "masks/cat").iterdir():
        write(path, 255 - np.asarray(Image.open(path)))


def renamed(change: Callable[[str], str], folder: str = "labels") -> Change:
    def all_of(top: Path) -> None:
        for path in sorted((top / folder).iterdir()):
            path.rename(path.with_name(change(path.name)))

    return all_of


def dangling(top: Path) -> None:
    (top / "images/s0_99.png").symlink_to("nowhere.png")


def circle(top: Path) -> None:
    (top / "images/again").symlink_to(top / "images")


def both(top: Path) -> None:
    (top / "masks").mkdir()


def binary(path: Path, labels: NDArray[np.uint8]) -> None:
    write(path, np.where(labels % 255 > 0, 255, 0).astype(np.uint8))


REFUSED: dict[str, tuple[Change, dict[str, object], str]] = {
    "palettes that differ": (each(adaptive), {}, r"index \d is #\w+ in .*png and #\w+ in .*png"),
    "labels in colour": (each(in_colour), {}, "a file for --colors can say"),
    "16-bit colour": (deep_tiff, {}, "more than 8 bits a channel"),
    "EXIF by 180°": (exif(3), {}, r"give --exif turn .*\(12\)"),
    "EXIF by 90°, square": (exif(6, 8), {}, "orientation 6"),
    "masks with soft edges": (masks(soft), {"classes": None}, "--threshold 128"),
    "labels of 0 and 255": (each(binary), {}, "masks/CLASS/ instead of labels/"),
    "a link to nothing": (dangling, {}, r"link to nothing \(1\)"),
    "a folder in itself": (circle, {}, "link to a folder that holds it"),
    "names with a suffix": (renamed(lambda n: f"{n[:-4]}_mask.png"), {}, "--mask-suffix _mask"),
    "labels and masks": (both, {}, "has both `labels` and `masks`: it needs one of the two"),
    "one bad file": (dangling, {}, "--skip-bad leaves these out by name; 12 images would remain"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_the_mend(case: str, top: Path, tmp_path: Path) -> None:
    change, options, message = REFUSED[case]
    change(top)
    with pytest.raises(DatasetError, match=message):
        make(top, tmp_path / "data", **options)


TAKEN: dict[str, tuple[Change, dict[str, object]]] = {
    "one palette": (each(one_palette), {}),
    "grey as RGB": (of_mode("RGB"), {}),
    "grey as RGBA": (of_mode("RGBA"), {}),
    "grey as LA": (of_mode("LA"), {}),
    "another suffix": (renamed(lambda n: f"{n[:-4]}_mask.png"), {"mask_suffix": "_mask"}),
    "another case": (renamed(str.upper), {}),
    "EXIF by 180°, said": (exif(3), {"exif": "turn"}),
    "EXIF by 90°, seen": (exif(6), {}),
}


def check(dataset: PreparedDataset) -> None:
    for name in dataset.image_ids:
        assert np.array_equal(np.asarray(dataset.image(name)), photo(int(name[3:])))
        assert np.array_equal(dataset.labels(name), label_map(int(name[3:])))
    assert verify(dataset, full=True) == []


@pytest.mark.parametrize("case", TAKEN)
def test_it_is_taken_for_what_it_is(case: str, top: Path, tmp_path: Path) -> None:
    change, options = TAKEN[case]
    change(top)
    dataset = make(top, tmp_path / "data", **options)
    assert len(dataset.image_ids) == 12
    check(dataset)
    assert any("EXIF" in note for note in dataset.manifest["notes"]) == case.startswith("EXIF")


@pytest.mark.parametrize("kind", [in_colour, adaptive])
@pytest.mark.parametrize("form", ["txt", "json"])
def test_colours_say_what_labels_are(
    kind: Callable[..., None], form: str, top: Path, tmp_path: Path
) -> None:
    each(kind)(top)
    lines = [f"{name}:{','.join(map(str, COLOURS[i + 1]))}::" for i, name in enumerate(CLASSES)]
    path = tmp_path / f"labelmap.{form}"
    path.write_text(MAP + "\n".join(lines), encoding="utf-8-sig")
    if form == "json":
        colours = {name: "#{:02x}{:02x}{:02x}".format(*COLOURS[i + 1]) for i, name in
                   enumerate(CLASSES)}  # fmt: skip
        import json

        path.write_text(json.dumps({"background": [0, 0, 0], "void": [255] * 3, **colours}))
    dataset = make(top, tmp_path / "data", classes=None, colors=path)
    assert dataset.classes == CLASSES
    check(dataset)


def test_soft_masks_are_cut_where_it_is_said(top: Path, tmp_path: Path) -> None:
    masks(soft)(top)
    dataset = make(top, tmp_path / "data", classes=None, threshold=128)
    assert dataset.mask("s0_00", 0)[3, 1:5].tolist() == [1, 0, 0, 1]


def test_masks_of_one_bit_among_soft_ones_are_refused(top: Path, tmp_path: Path) -> None:
    masks(soft)(top)
    path = top / "masks/dog/s0_00.png"
    write(path, np.asarray(Image.open(path)) > 0)
    with pytest.raises(DatasetError, match=r"below --threshold .*\n +\S+dog/s0_00\.png: 1, the"):
        make(top, tmp_path / "data", classes=None, threshold=128)


def test_masks_that_are_inside_out_are_remarked_on(top: Path, tmp_path: Path) -> None:
    masks(inverted)(top)
    notes = make(top, tmp_path / "data", classes=None).manifest["notes"]
    assert [n for n in notes if "inverted" in n] == [
        "masks of 'cat' hold the image's border in 6 of 6 images: are they inverted?"
    ]


def test_unicode_forms_of_one_name_are_one(top: Path, tmp_path: Path) -> None:
    for kind, form in (("images", "NFC"), ("labels", "NFD")):
        path = top / kind / "s0_00.png"
        path.rename(path.with_name(unicodedata.normalize(form, "s0é_00.png")))
    dataset = make(top, tmp_path / "data")
    assert unicodedata.normalize("NFC", "s0é_00") in dataset.image_ids


def test_linked_folders_are_followed(top: Path, tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (top / kind).rename(tmp_path / kind)
        (top / kind).mkdir()
        (top / kind / "a").symlink_to(tmp_path / kind)
    assert len(make(top, tmp_path / "data").image_ids) == 12


def test_one_class_of_255_is_a_class_where_nothing_is_ignored(top: Path, tmp_path: Path) -> None:
    each(binary)(top)
    given = {"classes": ("lesion",), "folds": 1}
    with pytest.raises(DatasetError, match="masks/lesion/ instead of labels/"):
        make(top, tmp_path / "data", **given)
    dataset = make(top, tmp_path / "data", ignore=("none",), **given)
    assert (dataset.mask("s0_00", 0) == 1).sum() == 24


def test_copies_are_counted_and_never_paired(top: Path, tmp_path: Path) -> None:
    for name in names(top):
        for kind in ("images", "labels"):
            content = (top / kind / f"{name}.png").read_bytes()
            (top / kind / f"{name}copy.png").write_bytes(content)
    apart, pair = (make(top, tmp_path / c, copies=c) for c in ("apart", "pair"))
    assert any("12 images are copies of 12 others" in note for note in apart.manifest["notes"])

    def equal(dataset: PreparedDataset) -> int:
        episodes = [e for fold in (0, 1) for e in dataset.episodes("fixed-v1", fold, 1)]
        return sum(e.query[:5] == e.supports[0][:5] for e in episodes)

    assert equal(apart) == 0 < equal(pair)
    assert apart.folds.copies["s0_00copy"] == "s0_00" and not pair.folds.copies
