"""Pascal-Part's parts, merged into the 56 classes that Matcher tests.

Source: kevalmorabia97/Object-and-Semantic-Part-Detection-pyTorch, extra/merge_part_classes.ipynb
and data/VOCdevkit/VOC2010/Classes; Matcher's annotation folder has that notebook's name. The counts
by superclass, 31, 4, 5 and 16, are those of Matcher's logs (output/pascal/fold*/log.txt), whose
figures also fit classes in alphabetical order.
"""

import re
from collections.abc import Mapping

# A part's name without its number -> what it is merged into; others are in no class.
_MERGED: Mapping[str, str] = {
    name: merged
    for merged, names in {
        "ARMHAND": "lhand llarm luarm rhand rlarm ruarm",
        "BODY": "body",
        "DOOR": "door",
        "ENGINE": "engine",
        "FACE": "beak hair head lear lebrow leye mouth nose rear rebrow reye",
        "LEG": "lbho lbleg lblleg lbuleg lfho lfleg lflleg lfoot lfuleg lleg llleg luleg "
        "rbho rbleg rblleg rbuleg rfho rfleg rflleg rfoot rfuleg rleg rlleg ruleg",
        "NECK": "neck",
        "PLANT": "plant",
        "POT": "pot",
        "SCREEN": "screen",
        "TAIL": "tail",
        "TORSO": "torso",
        "TRAIN_COACH": "cbackside cfrontside cleftside coach crightside croofside",
        "TRAIN_HEAD": "hbackside hfrontside hleftside hrightside hroofside",
        "VEHICLE_SIDE": "backside frontside leftside rightside roofside",
        "WHEEL": "bwheel chainwheel fwheel wheel",
        "WINDOWS": "window",
        "WINGS": "lwing rwing",
    }.items()
    for name in names.split()
}

_ANIMAL = ("FACE", "LEG", "NECK", "TAIL", "TORSO")
_CAR = ("DOOR", "VEHICLE_SIDE", "WHEEL", "WINDOWS")

# By fold: superclass -> object -> merged parts. Matcher's code passes over aeroplane+TAIL.
SUPERCLASSES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "animals": {
        "bird": (*_ANIMAL, "WINGS"),
        "cat": _ANIMAL,
        "cow": _ANIMAL,
        "dog": _ANIMAL,
        "horse": _ANIMAL,
        "sheep": _ANIMAL,
    },
    "indoor": {"bottle": ("BODY",), "pottedplant": ("PLANT", "POT"), "tvmonitor": ("SCREEN",)},
    "person": {"person": ("ARMHAND", "FACE", "LEG", "NECK", "TORSO")},
    "vehicles": {
        "aeroplane": ("BODY", "ENGINE", "WHEEL", "WINGS"),
        "bicycle": ("WHEEL",),
        "bus": _CAR,
        "car": _CAR,
        "motorbike": ("WHEEL",),
        "train": ("TRAIN_COACH", "TRAIN_HEAD"),
    },
}
LEFT_OUT = "aeroplane+TAIL"


def class_name(thing: str, part: str) -> str:
    """The name of a class, as in Matcher: `bird+FACE`."""
    return f"{thing}+{part}"


def merged(part: str) -> str | None:
    """What a part of Pascal-Part is merged into; None if it is in no class.

    Args:
        part: its name, `wheel_2` or `lflleg`.
    """
    return _MERGED.get(re.sub(r"_\d+$", "", part))
