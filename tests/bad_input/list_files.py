"""List files as `bench episodes --lists` gets them."""

from pathlib import Path

from tests.bad_input.given import Desk, Ended, given
from tests.pascal_lists import write_pascal_lists
from tests.tiny import tiny_dataset


def digest(desk: Desk) -> Ended:
    args = ("--protocol", "hsnet", "--lists", desk.place, "--folds", 0, "--shots", 1)
    return desk.bench("episodes", "digest", "pascal", *args)


def first_lines(desk: Desk) -> Path:
    write_pascal_lists(desk.place)
    return desk.place / "val/fold0.txt"


@given("`episodes digest --lists`: HSNet's lists with a line lost")
def cut(desk: Desk) -> Ended:
    path = first_lines(desk)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    return digest(desk)


@given("`episodes digest --lists`: HSNet's lists with a line of another form")
def other_form(desk: Desk) -> Ended:
    path = first_lines(desk)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "2007/000033__01\n", *lines[2:]]))
    return digest(desk)


@given("`bench.yaml` with a byte order mark")
def marked(desk: Desk) -> Ended:
    tiny_dataset(desk.place / "data", shots=(1,))
    text = "datasets: [{name: tiny, shots: [1]}]\nmodels: [random]\n"
    (desk.place / "bench.yaml").write_text(text, encoding="utf-8-sig")
    return desk.bench("run", "--dry-run")
