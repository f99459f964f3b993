"""The files that a user's own model is made of.

They are found by reading import statements, so that what is imported only while a run goes on
counts too, and what other models have imported in the same process does not. Installed packages,
the standard library and this suite are no part of it: results name those by their versions.
"""

import ast
import hashlib
import importlib
import importlib.machinery
import site
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from models.errors import ModelError

_SUITE = ("benchmarks", "datasets_prep", "leaderboards", "models")
# Calls that import what no statement names.
_HIDDEN = ("import_module", "__import__", "spec_from_file_location", "run_path", "run_module")
# The files of own modules as this process imported them, with their sha256.
_SEEN: dict[str, tuple[Path, str]] = {}


def code_digest(*modules: str) -> str | None:
    """The sha256 over all own code that imported modules are made of.

    Args:
        modules: names in `sys.modules`.

    Returns:
        Of one file alone its sha256; None where there is no own code.
    """
    files: dict[Path, str] = {}
    for module in sorted(modules):
        place = _place(getattr(sys.modules.get(module), "__file__", None))
        files |= own_code(module, place) if place else {}
    contents = sorted((name, _sha256(path)) for path, name in files.items())
    if len(contents) < 2:
        return contents[0][1] if contents else None
    lines = "".join(f"{name}\0{content}\n" for name, content in contents)
    return hashlib.sha256(lines.encode()).hexdigest()


def own_code(module: str, place: Path) -> dict[Path, str]:
    """The files of a module and of all that it imports, with their modules, if they are own code.

    Args:
        module: its name.
        place: its file.
    """
    found: dict[Path, str] = {}
    waiting: list[tuple[str, Path | None]] = [(module, place)]
    while waiting:
        name, file = waiting.pop()
        path = file and file.resolve()
        if path is None or path in found or not is_own(name, path):
            continue
        found[path] = name
        tree = _parsed(path)
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        for wanted in _imports(tree, package):
            waiting += [(above, _find(above)) for above in _with_packages(wanted)]
        if any(map(_hides, ast.walk(tree))):
            # Which of its neighbours it means, no statement tells.
            for other in sorted(path.parent.rglob("*.py")):
                parts = other.relative_to(path.parent).with_suffix("").parts
                waiting.append((".".join(parts), other))
    return found


def forget_changed(module: str, place: Path) -> None:
    """Let what this process imported from other files, or as they were, be imported again."""
    importlib.invalidate_caches()
    now = {name: (path, _sha256(path)) for path, name in own_code(module, place).items()}
    if any(_SEEN.get(name, seen) != seen for name, seen in now.items()):
        for name in now:
            sys.modules.pop(name, None)
    _SEEN.update(now)


def forget_below(folder: Path) -> None:
    """Let no own module be taken for imported that came from a folder."""
    for name in [name for name, (path, _) in _SEEN.items() if path.is_relative_to(folder)]:
        del _SEEN[name]
        sys.modules.pop(name, None)


def check_neighbours(place: Path) -> None:
    """Refuse a file beside a model that another of its name keeps from being imported.

    Raises:
        ModelError: naming both.
    """
    for wanted in {name.partition(".")[0] for name in _imports(_parsed(place), "")}:
        beside = _below([str(place.parent)], wanted)
        taken = _place(getattr(sys.modules.get(wanted), "__file__", None)) or _find(wanted)
        if beside is None or taken is None or taken.samefile(beside) or not beside.is_file():
            continue
        if wanted not in sys.stdlib_module_names and wanted not in _SUITE:
            raise ModelError(
                f"{place} would import {wanted} from {taken}, not from {beside}; give the file "
                f"beside it another name, or run it in a command of its own"
            )


def is_own(module: str, path: Path) -> bool:
    """Whether a file belongs neither to Python, to an installed package, nor to this suite."""
    whole = path.resolve()
    if {"site-packages", "dist-packages"} & set(whole.parts):
        return False
    if module.partition(".")[0] in _SUITE and whole.is_relative_to(Path(__file__).parents[2]):
        return False
    return not any(whole.is_relative_to(root) for root in _installed())


@cache
def _installed() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    named = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders = [*named, *site.getsitepackages(), site.getusersitepackages()]
    return tuple({Path(folder).resolve() for folder in folders})


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Every name that may be a module, of all import statements and calls with a plain text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(above if node.level else ()), *filter(None, [node.module])])
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in _HIDDEN:
            yield from filter(None, map(_plain, node.args[:1]))


def _hides(node: ast.AST) -> bool:
    """Whether a node imports something that only the running program knows."""
    return (
        isinstance(node, ast.Call)
        and _called(node) in _HIDDEN
        and not (_called(node) in _HIDDEN[:2] and any(map(_plain, node.args[:1])))
    )


def _plain(node: ast.AST) -> str | None:
    """The text that a call is given, where it is a module's whole name."""
    text = node.value if isinstance(node, ast.Constant) else None
    return text if isinstance(text, str) and not text.startswith(".") else None


def _called(node: ast.Call) -> str:
    called = node.func
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def _with_packages(name: str) -> Iterator[str]:
    """`a`, `a.b`, `a.b.c`: what is imported with the last of them."""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _find(name: str) -> Path | None:
    """The file of a module that may never have been imported; nothing is imported for it."""
    top, *rest = name.split(".")
    try:
        spec = importlib.machinery.PathFinder.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return _place(spec.origin)
    folders = list(spec.submodule_search_locations or ())
    for part in rest[:-1]:
        folders = [str(Path(folder) / part) for folder in folders]
    return _below(folders, rest[-1])


def _below(folders: list[str], name: str) -> Path | None:
    places = (
        Path(folder) / place
        for folder in folders
        for place in (f"{name}/__init__.py", f"{name}.py")
    )
    return next((place for place in places if place.is_file()), None)


def _place(name: str | None) -> Path | None:
    """A file of Python source."""
    path = Path(name or "")
    return path if path.suffix == ".py" and path.is_file() else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _parsed(path: Path) -> ast.Module:
    """A file's syntax; of one that cannot be imported either, nothing."""
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError):
        return ast.Module([], [])
