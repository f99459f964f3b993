"""The sources hold nothing that makes a file, a name or a variable into code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("benchmarks", "datasets_prep", "models", "leaderboards")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp",
    "pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "shelve.open", "dill.load",
    "dill.loads", "joblib.load", "pd.read_pickle", "pandas.read_pickle", "cloudpickle.load",
    "cloudpickle.loads", "_pickle.load", "_pickle.loads", "yaml.load", "yaml.load_all",
    "yaml.unsafe_load", "yaml.full_load", "torch.jit.load", "torch.serialization.load",
    "torch.hub.load", "torch.package.PackageImporter", "ssl._create_unverified_context",
}  # fmt: skip
LOADERS = {"torch.load": ("weights_only", True)}
FLAGS = ("shell", "allow_pickle", "trust_remote_code")  # which must be absent or False

# Who may do what only few must, each for one reason that its own tests hold.
ONLY_IN = {
    "importlib.import_module": {
        "models/custom/load.py",  # a user's own module, where it is named
        "models/registry.py",  # names of the suite's own catalogs
        "datasets_prep/episodes/recipes.py",  # likewise
        "models/methods/diffews/library.py",  # modules of diffusers, by names in the file
        "benchmarks/cli/machine.py",  # whether an optional package is there
    },
    "importlib.util.spec_from_file_location": {"models/custom/load.py"},
    "pickle.Unpickler": {"datasets_prep/formats/splitfiles.py"},  # with every global refused
}


Names = dict[str, str]


def imported(tree: ast.Module) -> Names:
    """What each imported name of a file stands for: `p` for `pickle`, `load` for `torch.load`."""
    names: Names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {own.asname: own.name for own in node.names if own.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {own.asname or own.name: f"{node.module}.{own.name}" for own in node.names}
    return names


def dotted(node: ast.expr, names: Names) -> str:
    """`a.b.c` of a name, however it was imported; `.c` of what has none."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names)}.{node.attr}".removeprefix("builtins.")
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def faults(source: str, name: str) -> Iterator[str]:
    """What must not stand in a file, with its line."""
    tree = ast.parse(source)
    names, judged = imported(tree), set()
    for node in ast.walk(tree):  # a call comes before its parts
        line = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom):
            doors = {door for door in (*FORBIDDEN, *LOADERS) if door.startswith(f"{node.module}.")}
            found = {f"{node.module}.{own.name}" for own in node.names}
            for hidden in doors if f"{node.module}.*" in found else doors & found:
                yield f"{line} imports {hidden}"
        if isinstance(node, (ast.Attribute, ast.Name)) and id(node) not in judged:
            own = dotted(node, names)
            read = isinstance(node.ctx, ast.Load)  # a field may be called `compile`
            if (read and own in {*FORBIDDEN, *LOADERS}) or name not in ONLY_IN.get(own, {name}):
                yield f"{line} uses {own}"
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func, names)
        given = {word.arg: word.value for word in node.keywords}
        if called in LOADERS:
            judged.add(id(node.func))
            word, needed = LOADERS[called]
            value = given.get(word)
            if not (isinstance(value, ast.Constant) and value.value is needed):
                yield f"{line} calls {called} without {word}={needed}"
        for word in FLAGS:
            value = given.get(word)
            if value is not None and not (isinstance(value, ast.Constant) and value.value is False):
                yield f"{line} gives {word}"
        checked = given.get("verify")
        if isinstance(checked, ast.Constant) and not checked.value:
            yield f"{line} trusts any certificate"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_has_a_door(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    assert list(faults(path.read_text(encoding="utf-8"), name)) == []


@pytest.mark.parametrize(
    "source",
    [
        "pickle.load(file)",
        "from pickle import loads",
        "from torch import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "yaml.unsafe_load(text)",
        "eval(text)",
        "exec(text)",
        "subprocess.run(line, shell=True)",
        "subprocess.run(line, shell=wanted)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "httpx.get(url, verify=False)",
        "importlib.import_module(name)",
        "class Mine(pickle.Unpickler): ...",
        "from pickle import Unpickler\nUnpickler(file).load()",
        "from pickle import Unpickler as Reader\nclass Mine(Reader): ...",
        "from pickle import *",
        "import pickle as p\np.load(file)",
        "import pickle as p\nmap(p.load, files)",
        "import torch as t\nt.load(file)",
        "import torch as t\nmap(t.load, files)",
        "import torch.hub as h\nh.load(name)",
        "from torch import jit as j\nj.load(file)",
        "from os import system as run",
        "from importlib import import_module\nimport_module(name)",
        "import builtins\nbuiltins.eval(text)",
    ],
)
def test_every_door_would_be_found(source: str) -> None:
    assert list(faults(source, "benchmarks/any.py"))


@pytest.mark.parametrize(
    "source",
    [
        "import torch as t\nt.load(path, weights_only=True)",
        "model.eval()",
        "re.compile(text)",
        "import json as pickle\npickle.load(file)",
        "np.load(path, allow_pickle=False)",
    ],
)
def test_what_is_harmless_is_not_found(source: str) -> None:
    assert not list(faults(source, "benchmarks/any.py"))


def test_no_file_is_missed() -> None:
    assert len(SOURCES) > 150
