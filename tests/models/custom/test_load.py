"""A user's own segmenter, found by its spec."""

from pathlib import Path

import pytest

from models.custom import load_custom
from models.errors import ModelError

MINE = """
from models.template import MeanColour

class Mine(MeanColour):
    {body}

def tuned(batch_size=4):
    model = Mine(Mine.Options())
    model.batch_size = batch_size
    return model

def nothing():
    return 7
"""


def mine(folder: Path, body: str = "batch_size = 3") -> str:
    (folder / "mine.py").write_text(MINE.format(body=body))
    return str(folder / "mine.py")


def test_a_file_with_one_segmenter_needs_no_name(tmp_path: Path) -> None:
    model = load_custom(mine(tmp_path), {"patch": 8})
    assert type(model).__name__ == "Mine"
    assert model.config == {"patch": 8}


def test_a_function_is_called_with_the_options(tmp_path: Path) -> None:
    assert load_custom(f"{mine(tmp_path)}:tuned", {"batch_size": 2}).batch_size == 2


def test_a_module_is_found_by_its_name(tmp_path: Path) -> None:
    assert type(load_custom("models.template:MeanColour")).__name__ == "MeanColour"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (":Others", {}, "defines no 'Others'"),
        (":nothing", {}, "is not a segmenter: it lacks geometry, support"),
        (":__name__", {}, "'__name__' of .* is no class and no function"),
        (":Mine", {"path": 8}, "path"),
        (":tuned", {"batch_size": 0}, "batch_size is 0, but a call takes one episode or more"),
        (":tuned", {"batch_size": "8"}, "batch_size is '8', but"),
    ],
)
def test_what_is_none_is_refused(
    tmp_path: Path, name: str, options: dict[str, object], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        load_custom(mine(tmp_path) + name, options)


def test_a_method_that_is_misspelt_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("class Mine:\n    encode_image = encode_support = segmentt = len\n")
    with pytest.raises(ModelError, match=r"no class with encode_image.*\(Mine lacks segment\)"):
        load_custom(str(path))
    with pytest.raises(ModelError, match=r"it lacks geometry, .*features, segment, binarize;"):
        load_custom(f"{path}:Mine")


def test_two_in_a_file_have_to_be_told_apart(tmp_path: Path) -> None:
    spec = mine(tmp_path, body="pass\nclass Other(Mine):\n    pass")
    with pytest.raises(ModelError, match=r"several segmenters: .*:NAME \(Mine, Other\)"):
        load_custom(spec)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("absent.py", "no such file: absent.py"),
        ("absent_module:Name", "cannot import 'absent_module'"),
        ("prototpye", "did you mean prototype"),
        (":Name", "^:Name is no model: expected MODULE:NAME"),
        (".module:Name", r"^\.module:Name is no model: expected MODULE:NAME"),
    ],
)
def test_what_is_not_there_is_named(spec: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        load_custom(spec)
