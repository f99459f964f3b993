"""The house: packages in one direction, no circles, doors that are kept, rooms one can read."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What each package may import of the others; `benchmarks.cli` is a package of its own here.
MAY_USE = {
    "datasets_prep": set(),
    "models": set(),
    "benchmarks": {"datasets_prep", "models"},
    "leaderboards": {"benchmarks"},
    "benchmarks.cli": {"benchmarks", "datasets_prep", "models", "leaderboards"},
}
PACKAGES = ("benchmarks", "datasets_prep", "leaderboards", "models")


def modules() -> Mapping[str, Path]:
    """Every module of the four packages by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """What a file imports of the four packages, anywhere in it: (module, name or "")."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, "") if inner in MODULES else (str(node.module), alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in PACKAGES:
                    yield alias.name, ""


def package_of(module: str) -> str:
    return "benchmarks.cli" if f"{module}.".startswith("benchmarks.cli.") else module.split(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_packages_use_each_other_in_one_direction(module: str) -> None:
    own = package_of(module)
    others = {package_of(used) for used, _ in imports(MODULES[module])} - {own}
    assert others <= MAY_USE[own]


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("leaderboards")])
def test_leaderboards_comes_through_the_door_of_benchmarks(module: str) -> None:
    import benchmarks.api

    taken = [(used, n) for used, n in imports(MODULES[module]) if package_of(used) == "benchmarks"]
    assert all(used == "benchmarks" and name in benchmarks.api.__all__ for used, name in taken)


def test_no_modules_import_each_other() -> None:
    graph = {
        name: {used for used, _ in imports(path) if used in MODULES} - {name}
        for name, path in MODULES.items()
    }
    # The doors import what they offer when they are asked, and nothing before.
    for door in ("benchmarks", "leaderboards"):
        graph[door] = set()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("module", MODULES)
def test_nothing_private_crosses_a_border(module: str) -> None:
    own = package_of(module)
    for used, name in imports(MODULES[module]):
        if package_of(used) != own:
            assert not any(part.startswith("_") for part in (*used.split("."), name))


def entries(folder: Path) -> list[str]:
    """What a newcomer reads: not what Python keeps for itself."""
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith(("_", ".")))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_opens_on_a_dozen_entries(package: str) -> None:
    assert len(entries(ROOT / package)) <= 12


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_is_in_which_room(package: str) -> None:
    text = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text("utf-8")))
    rooms = [p.name for p in (ROOT / package).iterdir() if (p / "__init__.py").is_file()]
    assert [room for room in rooms if f"`{room}/`" not in (text or "")] == []


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_long(module: str) -> None:
    assert len(MODULES[module].read_text("utf-8").splitlines()) <= 350


def test_no_two_files_of_a_room_have_almost_one_name() -> None:
    rooms: dict[Path, list[str]] = {}
    for path in MODULES.values():
        rooms.setdefault(path.parent, []).append(path.stem)
    alike = [
        (str(room), a, b)
        for room, names in rooms.items()
        for a, b in combinations(names, 2)
        if a + "s" == b or b + "s" == a or differ_in_one(a, b)
    ]
    assert alike == []


def differ_in_one(a: str, b: str) -> bool:
    return len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) == 1
