"""The recipes that draw episode lists, by name. A new one is one file and one line here.

All randomness comes from numpy's legacy `RandomState` or Python's `random.Random.random`, whose
streams are frozen: a list is the same on every machine and with every release.
"""

import importlib
from collections.abc import Mapping

from datasets_prep.episodes.pool import Recipe
from datasets_prep.errors import DatasetError

# The name of a list's folder under `episodes/` -> "module:function".
RECIPES: Mapping[str, str] = {
    "fixed-v1": "datasets_prep.episodes.fixed:draw",
    "hsnet": "datasets_prep.episodes.hsnet:draw",
    "pfenet": "datasets_prep.episodes.pfenet:draw",
    "bam": "datasets_prep.episodes.pfenet:draw_bam",
    "mini-v1": "datasets_prep.episodes.fixed:draw_mini",
    "absent-v1": "datasets_prep.episodes.absent:draw",
    "supports-v1": "datasets_prep.episodes.supports:draw",
    "nway2-v1": "datasets_prep.episodes.ways:draw_two",
    "nway5-v1": "datasets_prep.episodes.ways:draw_five",
}

# Recipes whose question has its own number of shots.
SHOTS: Mapping[str, tuple[int, ...]] = {"supports-v1": (1,)}

# Those that a dataset should have; `--only eval` keeps their images, a set that must not change.
USUAL: tuple[str, ...] = ("fixed-v1", "hsnet", "pfenet", "bam")


def has_shots(recipe: str, shots: int) -> bool:
    """Whether a recipe draws lists with so many shots."""
    return shots in SHOTS.get(recipe, (shots,))


def check_shots(recipe: str, shots: int) -> None:
    """Refuse a number of shots that a recipe has no lists with.

    Raises:
        DatasetError: naming those that it has.
    """
    if not has_shots(recipe, shots):
        usable = ",".join(map(str, SHOTS[recipe]))
        raise DatasetError(f"there is no {shots}-shot {recipe}; use --shots {usable}")


def recipes() -> Mapping[str, Recipe]:
    """Every recipe by the name of its folder under `episodes/`."""
    found = {}
    for name, target in RECIPES.items():
        module, function = target.split(":")
        found[name] = getattr(importlib.import_module(module), function)
    return found
