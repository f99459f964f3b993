"""Machines that lack something: letters, locks, long names, half precision."""

import errno
import fcntl
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.cli import main
from tests.bad_input.given import Desk, Ended, given
from tests.datasets_prep.folders import label_map, photo
from tests.tiny import tiny_dataset

RUN = ("run", "-d", "tiny", "--shots", 1, "--folds", 0, "--limit", 3, "--device", "cpu")


def without_locks(desk: Desk) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    desk.patch.setattr(fcntl, "flock", fail)


@given("`run`: results on a file system without locks")
def run_unlocked(desk: Desk) -> Ended:
    tiny_dataset(desk.place / "data", shots=(1,))
    without_locks(desk)
    return desk.bench(*RUN, "--models", "random")


@given("`prepare`: a data root on a file system without locks")
def prepare_unlocked(desk: Desk) -> Ended:
    without_locks(desk)
    return desk.bench("prepare", "shapes")


@given("`run --dtype fp16` on a processor")
def half(desk: Desk) -> Ended:
    tiny_dataset(desk.place / "data", shots=(1,))
    return desk.bench(*RUN, "--models", "random", "--dtype", "fp16")


@given("`datasets`: stdout is ASCII")
def ascii_only(desk: Desk) -> Ended:
    desk.patch.setenv("BENCH_DATA", str(desk.place))
    raw = io.BytesIO()
    desk.patch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    try:
        main(["datasets"])
    except SystemExit as end:
        sys.stdout.flush()
        return Ended(int(end.code or 0), raw.getvalue().decode("ascii"))
    raise AssertionError("the command did not end")


def folder(
    desk: Desk,
    *classes: str,
    beginning: str = "",
    save: Callable[[Image.Image, Path], object] = Image.Image.save,
) -> Ended:
    """Prepare twelve images of four classes, each file written by `save`."""
    for index in range(12):
        for part, array in (("images", photo(index)), ("labels", label_map(index))):
            path = desk.place / "in" / part / f"{beginning}{index:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            save(Image.fromarray(array.astype(np.uint8)), path)
    args = ("--name", "mine", "--classes", ",".join(classes), "--folds", 2, "--shots", 1)
    return desk.bench("prepare", "folder", desk.place / "in", *args)


@given("`prepare folder`: names of 246 bytes")
def long_names(desk: Desk) -> Ended:
    ended = folder(desk, "a", "b", "c", "d", beginning=80 * "猫")
    assert ended.code == 0, ended.text
    return desk.bench("episodes", "list", "mine", "--json")


@given("`episodes stats --png`: class names in Korean, and no font for them")
def korean(desk: Desk) -> Ended:
    assert folder(desk, "고양이", "개", "여우", "올빼미").code == 0
    from benchmarks.pictures import lettering

    said: list[str] = []
    desk.patch.setattr(lettering.logging.Logger, "warning", lambda self, text: said.append(text))
    for module in ("lettering", "canvas"):
        desk.patch.setattr(f"benchmarks.pictures.{module}.wide_font", lambda: None)
    lettering._say_once.cache_clear()
    ended = desk.bench("episodes", "stats", "mine", "--shots", "1", "--png", "stats.png")
    return Ended(ended.code, ended.text + " ".join(said))
