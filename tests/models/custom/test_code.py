"""All that a model of one's own is made of enters its digest, and nothing else."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.custom import code_digest, leave_folders, load_custom
from models.custom.code import own_code
from models.errors import ModelError

OWN = "import numpy, json\nfrom models.template import MeanColour\n"
CLASS = "\n\nclass Mine(MeanColour):\n    {}\n"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    leave_folders()  # what tests before these have loaded
    path, loaded = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


def write(folder: Path, **files: str) -> Path:
    """Files by module name; returns `own.py`, which holds a segmenter and `own` at its top."""
    folder.mkdir(exist_ok=True)
    own, body = files.pop("own", ""), files.pop("body", "pass")
    (folder / "own.py").write_text(OWN + own + CLASS.format(body))
    for name, text in files.items():
        path = folder / (name.replace("__init__", "/__init__").replace("___", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder / "own.py"


def names(own: Path) -> set[str]:
    load_custom(str(own))
    return set(own_code("custom_own", own).values())


def test_one_file_is_its_own_digest(tmp_path: Path) -> None:
    own = write(tmp_path)
    load_custom(str(own))
    assert code_digest("custom_own") == hashlib.sha256(own.read_bytes()).hexdigest()


def test_code_of_the_suite_has_none() -> None:
    import models.template  # noqa: F401

    assert code_digest("models.template") is None


@pytest.mark.parametrize(
    ("own", "body"),
    [
        ("import helper", "pass"),
        ("from helper import BIAS as B", "pass"),
        ("", "late = lambda self: __import__('helper').BIAS"),
        ("", "def late(self):\n        import helper\n        return helper.BIAS"),
        ("import importlib\nimportlib.import_module('helper')", "pass"),
        ("import importlib\nn = 'help' + 'er'\nimportlib.import_module(n)", "pass"),
        ("try:\n    import helper\nexcept ImportError:\n    helper = None", "pass"),
    ],
)
def test_a_changed_helper_changes_the_digest(tmp_path: Path, own: str, body: str) -> None:
    path = write(tmp_path, own=own, body=body, helper="BIAS = 0.0", other="BIAS = 0.0")
    load_custom(str(path))
    before = code_digest("custom_own")
    write(tmp_path, own=own, body=body, helper="BIAS = 0.3", other="BIAS = 0.0")
    load_custom(str(path))
    assert code_digest("custom_own") != before
    write(tmp_path, own=own, body=body, helper="BIAS = 0.0", other="BIAS = 0.0")
    assert code_digest("custom_own") == before


def test_what_helpers_import_counts_and_what_nobody_imports_does_not(tmp_path: Path) -> None:
    own = write(
        tmp_path,
        own="import kit.first, helper",
        helper="from second import nothing",
        second="nothing = 1",
        unused="import helper",
        kit__init__="from . import third",
        kit___first="from .third import x",
        kit___third="x = 1",
        kit___fourth="x = 1",
    )
    wanted = {"custom_own", "helper", "second", "kit", "kit.first", "kit.third"}
    assert names(own) == wanted


def test_an_installed_package_is_no_own_code(tmp_path: Path) -> None:
    packages = tmp_path / "venv" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "installed_kit.py").write_text("x = 1")
    sys.path.append(str(packages))
    assert names(write(tmp_path / "a", own="import installed_kit")) == {"custom_own"}


def test_the_digest_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    digests = set()
    for folder in ("a", "b"):
        own = write(tmp_path / folder, own="import helper", helper="x = 1")
        load_custom(str(own))
        digests.add(code_digest("custom_own"))
        del sys.modules["helper"]
    assert len(digests) == 1


def test_a_factory_of_ones_own_counts_though_the_class_is_the_suites(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "from models.template import MeanColour\ndef f(): return MeanColour(MeanColour.Options())"
    )
    model = load_custom(f"{own}:f")
    assert code_digest(type(model).__module__, "custom_own") is not None


def test_a_file_imports_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any folder, and rather than what lies where the command is run."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "helper.py").write_text("BIAS = 1")
    monkeypatch.chdir(tmp_path / "here")
    sys.path.append(str(tmp_path / "here"))
    own = write(
        tmp_path / "mine", own="from helper import BIAS", body="bias = BIAS", helper="BIAS = 7"
    )
    assert load_custom(str(own)).bias == 7


def test_code_that_changed_in_this_process_is_what_runs(tmp_path: Path) -> None:
    for bias in (1, 22):
        own = write(
            tmp_path, own="import helper", body="bias = helper.BIAS", helper=f"BIAS = {bias}"
        )
        assert load_custom(str(own)).bias == bias


def test_two_models_have_helpers_of_one_name(tmp_path: Path) -> None:
    for bias in (1, 2, 2):
        own = write(
            tmp_path / f"m{bias}",
            own="import helper",
            body="bias = helper.BIAS",
            helper=f"BIAS = {bias}",
        )
        assert load_custom(str(own)).bias == bias


def test_a_helper_that_another_hides_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "first", helper="x = 1")
    sys.path.insert(0, str(tmp_path / "first"))
    with pytest.raises(ModelError, match=r"import helper from .*first/helper.py, not from .*b/"):
        load_custom(str(write(tmp_path / "b", own="import helper", helper="x = 2")))


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"own.py: cannot import 'not_there'; .* PYTHONPATH"):
        load_custom(str(write(tmp_path, own="import not_there")))
