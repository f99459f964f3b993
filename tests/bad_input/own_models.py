"""Models of one's own as `bench run` gets them."""

from collections.abc import Callable

from tests.bad_input.given import Desk, Ended, given
from tests.tiny import tiny_dataset

OWN = "import tuning\nfrom tests.tiny import ColourModel\nclass Own(ColourModel): ...\n"


def run(desk: Desk, change: Callable[[], object] | None = None) -> Ended:
    """Run `mine/own.py`, whose tuning lies beside it; with a change, before it and after it."""
    tiny_dataset(desk.place / "data", shots=(1,))
    args = ("run", "-d", "tiny", "--shots", 1, "--folds", 0, "--limit", 5, "--device", "cpu")
    ended = desk.bench(*args, "--model-from", "mine/own.py")
    if change is not None:
        assert ended.code == 0
        change()
        ended = desk.bench(*args, "--model-from", "mine/own.py")
    return ended


def write(desk: Desk) -> None:
    (desk.place / "mine").mkdir()
    (desk.place / "mine/own.py").write_text(OWN)
    (desk.place / "mine/tuning.py").write_text("BIAS = 0.0\n")


@given("`run`: a model of your own, a module of which has changed since its result")
def changed(desk: Desk) -> Ended:
    write(desk)
    return run(desk, lambda: (desk.place / "mine/tuning.py").write_text("BIAS = 0.3\n"))


@given("`run`: a model of your own that imports what lies beside it, from another folder")
def beside(desk: Desk) -> Ended:
    write(desk)
    return run(desk)


@given("`run`: a model of your own that imports what is not there")
def absent(desk: Desk) -> Ended:
    write(desk)
    (desk.place / "mine/tuning.py").unlink()
    return run(desk)
