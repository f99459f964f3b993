"""Lists drawn from list files are as published, or refused; a byte order mark changes nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.protocols.lists import drawn_lists
from datasets_prep.episodes import published
from datasets_prep.episodes.episode import digest
from datasets_prep.episodes.hsnet import draw
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.errors import DatasetError
from datasets_prep.formats.splitfiles import lists_digest, read_pascal
from tests.pascal_lists import write_pascal_lists

FIRST = "val/fold0.txt"


@pytest.fixture
def splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lists in HSNet's form that pass for the published ones."""
    write_pascal_lists(tmp_path)
    folds = read_pascal(tmp_path)
    hsnet = {
        f"fold{fold.index}_1shot": digest(draw(EpisodePool("pascal", folds, fold), 1))
        for fold in folds.folds
    }
    table = {"pascal": {"lists": lists_digest(folds), "hsnet": hsnet}}
    monkeypatch.setattr(published, "_table", lambda: table)
    return tmp_path


def drawn(folder: Path, recipe: str = "hsnet", shots: int = 1) -> list[str]:
    return [listed.digest for listed in drawn_lists("pascal", folder, recipe, [shots], [0])]


def test_a_byte_order_mark_changes_nothing(splits: Path) -> None:
    before = drawn(splits)
    for path in (splits / "val").iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert drawn(splits) == before


@pytest.mark.parametrize(("recipe", "shots"), [("hsnet", 1), ("hsnet", 3)])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:4] + lines[5:], "all lines look alike, so one is missing"),
        (lambda lines: [*lines[1:], lines[0]], "all lines look alike"),
        (lambda lines: [lines[0], "2007 x__01", *lines[2:]], r"fold0.txt, line 2: '2007 x__01'"),
        (lambda lines: [*lines, "2007_000099__1"], r"fold0.txt, line \d+: '2007_000099__1'"),
    ],
)
def test_an_altered_list_is_refused(
    splits: Path,
    recipe: str,
    shots: int,
    change: Callable[[list[str]], list[str]],
    said: str,
) -> None:
    """Those that nobody published are held to the fold lists that they are drawn from."""
    path = splits / FIRST
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    what = "list has" if shots == 1 else "fold lists have"
    with pytest.raises(DatasetError, match=rf"digest \w{{64}}, but the published {what} \w{{64}}"):
        drawn(splits, recipe, shots)
    with pytest.raises(DatasetError, match=said):
        drawn(splits, recipe, shots)
