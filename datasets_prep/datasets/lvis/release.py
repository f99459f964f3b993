"""What LVIS-92i is made from, and the published figures that the result must meet.

Hashes: tensorflow/datasets for annotations and images. Counts of annotations: lvisdataset.org.
Classes a fold: Matcher's paper for one shot; for five shots the quotient of class IoU and mIoU in
the first lines of the logs that aim-uofa/Matcher keeps in output/lvis_5shot. First and last class
of each fold: open-edge-platform/geti-instant-learn, library/src/instantlearn/utils/constants.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from datasets_prep.archives.hosts import COCO, COCO_2017, on_drive
from datasets_prep.archives.sources import SourceFile

FOLDS = 10
EPISODES = 2300

_LVIS = "https://dl.fbaipublicfiles.com/LVIS/lvis_v1_val.json.zip"
_LVIS_MIRROR = "https://s3-us-west-2.amazonaws.com/dl.fbaipublicfiles.com/LVIS/lvis_v1_val.json.zip"


@dataclass(frozen=True)
class Counts:
    """Published figures.

    Attributes:
        images: in the annotation file.
        annotations: in the annotation file.
        categories: in the annotation file.
        classes: of a fold, by the number of images that each of them exceeds.
        ends: of each fold of classes with more than one image, the first class and the last.
    """

    images: int
    annotations: int
    categories: int
    classes: Mapping[int, int] = field(default_factory=dict)
    ends: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Release:
    """The files of an LVIS-92i and what is known of them.

    Attributes:
        annotations: archive with `lvis_v1_val.json`.
        images: archives by the folder that they unpack to; both hold images of LVIS's val part.
        lists: Matcher's archive with `lvis_val.pkl`.
        single: address below which every image can be had by itself, as `val2017/NAME.jpg`.
        counts: published figures; None where there are none to meet.
    """

    annotations: SourceFile
    images: Mapping[str, SourceFile]
    lists: SourceFile
    single: str
    counts: Counts | None


LVIS_V1 = Release(
    annotations=SourceFile(
        name="lvis_v1_val.json.zip",
        urls=(_LVIS, _LVIS_MIRROR),
        size=64_026_968,
        sha256="5cae9a3c79aadb667550c2b5dcf7f4d86e059a41ec91ef690225b667e28e9ba5",
        extracted_size=201_000_000,
        page="https://www.lvisdataset.org/dataset",
        note="version 1; the JSON alone is not looked for, give the archive",
    ),
    images=COCO_2017,
    lists=on_drive(
        "lvis.zip",
        "1itJC119ikrZyjHB9yienUPD0iqV12_9y",
        extracted_size=1_500_000_000,
        note="no hash is published; a folder lvis with lvis_val.pkl in it serves as well; "
        "--lists derived needs neither",
    ),
    single=COCO,
    counts=Counts(
        images=19_809,
        annotations=244_707,
        categories=1_203,
        classes={1: 92, 5: 68},
        ends=(
            ("aerosol_can", "wolf"),
            ("air_conditioner", "wooden_spoon"),
            ("airplane", "wreath"),
            ("alarm_clock", "wrench"),
            ("alcohol", "wristband"),
            ("almond", "wristlet"),
            ("ambulance", "yogurt"),
            ("amplifier", "yoke_(animal_equipment)"),
            ("anklet", "zebra"),
            ("antenna", "zucchini"),
        ),
    ),
)  # fmt: skip
