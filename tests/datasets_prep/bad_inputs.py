"""Sources with one fault each, of every kind, for every dataset that it concerns."""

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets_prep.builder import Builder, BuilderOptions
from datasets_prep.datasets.coco import Coco, CocoOptions
from datasets_prep.datasets.coco2pascal import Coco2Pascal, Coco2PascalOptions
from datasets_prep.datasets.crossdomain.chestxray import ChestXray, ChestXrayOptions
from datasets_prep.datasets.crossdomain.deepglobe import DeepGlobe
from datasets_prep.datasets.crossdomain.isic2018 import Isic2018, Isic2018Options
from datasets_prep.datasets.crossdomain.suim import Suim
from datasets_prep.datasets.folder.builder import Folder
from datasets_prep.datasets.folder.options import FolderOptions
from datasets_prep.datasets.fss1000 import FSS1000
from datasets_prep.datasets.pascal import Pascal, PascalOptions
from tests.datasets_prep import folders as own
from tests.datasets_prep.coco_fixture import (
    HEIGHT,
    IDS,
    WIDTH,
    TinyCoco,
    annotation,
    box,
    write_tiny_coco,
)
from tests.datasets_prep.datasets import test_chestxray as xray
from tests.datasets_prep.datasets import test_deepglobe as globe
from tests.datasets_prep.datasets import test_fss1000 as fss
from tests.datasets_prep.datasets import test_isic2018 as isic
from tests.datasets_prep.datasets import test_suim as suim
from tests.datasets_prep.pascal_fixture import (
    SBD_FOLDER,
    VOC_FOLDER,
    mat_bytes,
    palette_png,
    write_tiny_pascal,
)


@dataclass(frozen=True)
class Bad:
    """A source with a fault.

    Attributes:
        builder: of the dataset.
        folder: what `--from` names.
        message: what the error without `--skip-bad` must hold.
        left_out: the names in the manifest with it.
    """

    builder: Builder
    folder: Path
    message: tuple[str, ...]
    left_out: tuple[str, ...]


Make = Callable[[Path], Bad]


def unzipped(folder: Path, target: Path) -> Path:
    """What every zip in a folder unpacks to, and the other files."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.zip"))
    for archive in folder.glob("*.zip"):
        with zipfile.ZipFile(archive) as bundle:
            bundle.extractall(target)
    return target


def tear(path: Path) -> Path:
    """Take the second half of a file away."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


# COCO: the image 112 of val2014 is the bad one.

_SPOILT = "COCO_val2014_000000000112"
ANNOTATIONS = "instances_val2014.json"


def coco(change: Callable[[TinyCoco], Any], *message: str, left_out: str = _SPOILT) -> Make:
    def make(place: Path) -> Bad:
        tiny, _ = write_tiny_coco(place / "archives")
        change(tiny)
        release = tiny.write()
        folder = unzipped(tiny.folder, place / "in")
        return Bad(Coco(CocoOptions(only="test"), release), folder, message, (left_out,))

    return make


def torn_jpeg(tiny: TinyCoco) -> None:
    images = tiny.images["val2014"]
    images[f"{_SPOILT}.jpg"] = images[f"{_SPOILT}.jpg"][:1000]


def add(entry: dict[str, Any]) -> Callable[[TinyCoco], None]:
    return lambda tiny: tiny.instances["val2014"]["annotations"].append(entry)


_OTHER_SIZE = {"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]}
_OUTLINE = [box(0, 0, 9, 9)]


def coco_shared_name(place: Path) -> Bad:
    """A file of val2014 is called as one of train2014."""
    tiny, _ = write_tiny_coco(place / "archives")
    new = "COCO_train2014_000000000105.jpg"
    for image in tiny.instances["val2014"]["images"]:
        if image["id"] == 112:
            image["file_name"] = new
    tiny.images["val2014"][new] = tiny.images["val2014"].pop(f"{_SPOILT}.jpg")
    release = tiny.write()
    folder = unzipped(tiny.folder, place / "in")
    return Bad(
        Coco(CocoOptions(lists="derived"), release),
        folder,
        (f"{folder / 'train2014' / new} and {folder / 'val2014' / new} are both called",),
        (new.removesuffix(".jpg"),),
    )


# PASCAL, and the folder of its own files


def pascal(
    change: Callable[[Path, Path], Path], name: str, *message: str, transfer: bool = False
) -> Make:
    """`change` is given VOC's and SBD's folder and returns the file that must be named."""

    def make(place: Path) -> Bad:
        tiny = write_tiny_pascal(place / "archives")
        for archive, kind in (("tiny-voc.tar", "tar"), ("tiny-sbd.tgz", "gztar")):
            shutil.unpack_archive(tiny.folder / archive, place / "in", kind)
        shutil.copytree(tiny.folder / "pascal", place / "in/pascal")
        named = change(place / "in" / VOC_FOLDER, place / "in" / SBD_FOLDER)
        builder: Builder = Pascal(PascalOptions(), tiny.release)
        if transfer:
            builder = Coco2Pascal(Coco2PascalOptions(), tiny.release)
        return Bad(builder, place / "in", (str(named), *message), (name,))

    return make


def gone(path: Path) -> Path:
    path.unlink()
    return path


def wrong_png(voc: Path) -> Path:
    path = voc / "SegmentationClass/2007_000003.png"
    path.write_bytes(palette_png(np.full((96, 160), 21, np.uint8)))
    return path


def wrong_mat(sbd: Path) -> Path:
    path = sbd / "cls/2010_000003.mat"
    path.write_bytes(mat_bytes(np.full((96, 160), 21, np.uint8)))
    return path


def folder(change: Callable[[Path], Path], name: str, *message: str) -> Make:
    def make(place: Path) -> Bad:
        top = place / "in"
        for index in range(12):
            own.write(top / f"images/s{index:02d}.png", own.photo(index))
            own.write(top / f"labels/s{index:02d}.png", own.label_map(index))
        named = change(top)
        options = FolderOptions(folder=top, name="mine", classes=own.CLASSES, folds=2)
        return Bad(Folder(options), top, (str(named), *message), (name,))

    return make


def twin(top: Path) -> Path:
    shutil.copy(top / "images/s03.png", top / "images/s03.bmp")
    return top / "images/s03.png"


def far_value(top: Path) -> Path:
    own.write(top / "labels/s03.png", np.full((own.HEIGHT, own.WIDTH), 9, np.uint8))
    return top / "labels/s03.png"


# The cross-domain sets and FSS-1000


def isic_with(change: Callable[[Path], Path], name: str, *message: str) -> Make:
    def make(place: Path) -> Bad:
        release = isic.write_isic(place / "archives")
        top = unzipped(place / "archives", place / "in")
        named = change(top)
        release = replace(release, classes=replace(release.classes, size=None, sha256=None))
        return Bad(Isic2018(Isic2018Options(), release), top, (str(named), *message), (name,))

    return make


def unknown_diagnosis(top: Path) -> Path:
    path = top / "class_id.csv"
    path.write_text(path.read_text().replace("ISIC_0000004,melanoma", "ISIC_0000004,wart"))
    return path


def suim_with(change: Callable[[Path], Path], name: str, *message: str) -> Make:
    def make(place: Path) -> Bad:
        suim.write_suim(place / "archives")
        top = unzipped(place / "archives", place / "in")
        return Bad(Suim(BuilderOptions()), top, (str(change(top)), *message), (name,))

    return make


def suim_shared_name(top: Path) -> Path:
    for kind in ("images/{}.jpg", "masks/{}.bmp"):
        first, second = kind.format(suim.TRAIN[0]), kind.format(suim.TEST[1])
        (top / "TEST" / second).rename(top / "TEST" / first)
    return top / "TEST/images" / f"{suim.TRAIN[0]}.jpg"


def xray_without_mask(place: Path) -> Bad:
    release = xray.write_archives(place / "archives")
    top = unzipped(place / "archives", place / "in")
    name = xray.SHENZHEN[2]
    named = gone(top / xray.TOP / "CXR_png" / f"{name}.png")
    return Bad(ChestXray(ChestXrayOptions(), release), top, (str(named), "missing"), (name,))


def globe_torn(place: Path) -> Bad:
    release = globe.write_tiles(place / "archives")
    top = unzipped(place / "archives", place / "in")
    named = tear(top / "train/8554_sat.jpg")
    return Bad(DeepGlobe(BuilderOptions(), release), top, (str(named), "readable"), ("8554",))


def fss_torn(place: Path) -> Bad:
    (place / "archives").mkdir()
    release = fss.write(place / "archives").release
    top = unzipped(place / "archives", place / "in")
    named = tear(top / "fewshot_data/fewshot_data/hen/3.jpg")
    return Bad(FSS1000(BuilderOptions(), release), top, (str(named), "readable"), ("hen/3",))


CASES: dict[str, Make] = {
    "corrupt image, coco": coco(torn_jpeg, f"{_SPOILT}.jpg is not a readable image"),
    "corrupt image, pascal": pascal(
        lambda voc, _: tear(voc / "JPEGImages/2007_000003.jpg"), "2007_000003", "readable image"
    ),
    "corrupt image, coco2pascal": pascal(
        lambda voc, _: tear(voc / "JPEGImages/2007_000003.jpg"),
        "2007_000003",
        "readable image",
        transfer=True,
    ),
    "corrupt annotation, pascal": pascal(
        lambda _, sbd: tear(sbd / "cls/2010_000003.mat"), "2010_000003", "readable annotation"
    ),
    "corrupt image, folder": folder(lambda top: tear(top / "images/s03.png"), "s03", "unreadable"),
    "corrupt mask, isic2018": isic_with(
        lambda top: tear(top / isic.TRUTH / "ISIC_0000004_segmentation.png"),
        "ISIC_0000004",
        "readable image",
    ),
    "corrupt image, deepglobe": globe_torn,
    "corrupt image, fss1000": fss_torn,
    "annotation of a missing image, coco": coco(
        add(annotation(77, 7, IDS[0], _OUTLINE)),
        ANNOTATIONS,
        "annotation 77 is of image 7, which is not there",
        left_out=f"{ANNOTATIONS}, annotations of image 7",
    ),
    "annotation of a missing image, pascal": pascal(
        lambda voc, _: gone(voc / "JPEGImages/2010_000003.jpg"), "2010_000003", "missing"
    ),
    "annotation of a missing image, folder": folder(
        lambda top: gone(top / "images/s03.png").parents[1] / "labels/s03.png",
        "labels/s03.png",
        "label map without an image",
    ),
    "annotation of a missing image, isic2018": isic_with(
        lambda top: gone(top / isic.INPUT / "ISIC_0000004.jpg"), "ISIC_0000004", "missing"
    ),
    "annotation of a missing image, suim": suim_with(
        lambda top: (
            gone(top / f"TEST/images/{suim.TEST[1]}.jpg").parents[1] / f"masks/{suim.TEST[1]}.bmp"
        ),
        suim.TEST[1],
        "has no image",
    ),
    "annotation of a missing image, chestxray": xray_without_mask,
    "unknown category, coco": coco(
        add(annotation(78, 112, 12, _OUTLINE)),
        ANNOTATIONS,
        "annotation 78 has the unknown category 12",
    ),
    "unknown category, isic2018": isic_with(unknown_diagnosis, "ISIC_0000004", "line 6", "'wart'"),
    "RLE of another size, coco": coco(
        add(annotation(79, 112, IDS[0], _OTHER_SIZE)),
        ANNOTATIONS,
        "annotation 79 has an RLE of size",
    ),
    "RLE of another size in a crowd, coco": coco(
        add(annotation(79, 112, IDS[0], _OTHER_SIZE, crowd=1)), ANNOTATIONS, f"(of {_SPOILT}.jpg)"
    ),
    "wrong label value in VOC, pascal": pascal(
        lambda voc, _: wrong_png(voc), "2007_000003", "labels that no class has: 21"
    ),
    "wrong label value in SBD, pascal": pascal(
        lambda _, sbd: wrong_mat(sbd), "2010_000003", "labels that no class has: 21"
    ),
    "wrong label value, folder": folder(far_value, "s03", "9 (80 px)"),
    "repeated name, coco": coco_shared_name,
    "repeated name, suim": suim_with(suim_shared_name, suim.TRAIN[0], "have one name"),
    "repeated name, folder": folder(twin, "s03", "two files of one name"),
}
