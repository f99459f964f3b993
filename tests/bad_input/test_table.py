"""Each row of the tables in `docs/bad-input.md` is tried on what it says is given."""

import importlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bad_input.given import CASES, Desk

# The other modules of this folder hold the cases.
for module in sorted(Path(__file__).parent.glob("[!_]*.py")):
    importlib.import_module(f"tests.bad_input.{module.stem}")

DOCUMENT = Path(__file__).parents[2] / "docs" / "bad-input.md"
# What a heading says of the commands below it.
CODES = {"Refused": 2, "Taken": 0}


@dataclass(frozen=True)
class Row:
    """A row of a table, and the exit code that its heading means."""

    code: int
    given: str
    seen: str
    do: str


def rows() -> list[Row]:
    """The rows of all tables that have such a heading and the columns `given`, `seen` and `do`."""
    found, code = [], None
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            code = CODES.get(line.lstrip("# ").split(",")[0])
        elif code is not None and line.startswith("|") and not line.startswith("|--"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert len(cells) == 3, line
            if cells != ["given", "seen", "do"]:
                found.append(Row(code, *cells))
    return found


ROWS = rows()


def test_rows_and_cases_are_the_same() -> None:
    assert [row.given for row in ROWS if row.given not in CASES] == []
    assert CASES.keys() == {row.given for row in ROWS}


def phrases(seen: str) -> list[str]:
    """Patterns of what a cell quotes; `…` in it stands for anything."""
    quoted = [" ".join(phrase.split()) for phrase in re.findall("`([^`]+)`", seen)]
    assert quoted, f"{seen!r} quotes nothing that a command says"
    return [".*".join(map(re.escape, phrase.split("…"))) for phrase in quoted]


@pytest.mark.filterwarnings("error:Glyph")
@pytest.mark.parametrize("row", ROWS, ids=[row.given.replace("`", "") for row in ROWS])
def test_what_is_given_is_seen(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CASES[row.given](Desk(tmp_path, monkeypatch))
    said = " ".join(ended.text.split())
    assert ended.code == row.code, said
    for pattern in phrases(row.seen):
        assert re.search(pattern, said), f"{pattern}\nis not in\n{said}"
