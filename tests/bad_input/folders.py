"""Folders as annotation tools and cameras write them, which are refused with the mend."""

from functools import partial

from tests.bad_input.given import Desk, Ended, given
from tests.datasets_prep.datasets.test_folder_strangers import REFUSED
from tests.datasets_prep.folders import CLASSES, label_map, photo, write


def prepared(desk: Desk, case: str) -> Ended:
    """Prepare twelve good images, changed as the case of that name says."""
    change, options, _ = REFUSED[case]
    top = desk.place / "in"
    for index in range(12):
        write(top / f"images/s{index % 3}_{index:02d}.png", photo(index))
        write(top / f"labels/s{index % 3}_{index:02d}.png", label_map(index))
    change(top)
    classes = () if "classes" in options else ("--classes", ",".join(CLASSES))
    return desk.bench(
        "prepare", "folder", top, "--name", "mine", *classes, "--folds", 2, "--shots", 1, "-j", 1
    )


for name in REFUSED:
    given(f"`prepare folder`: {name}")(partial(prepared, case=name))
