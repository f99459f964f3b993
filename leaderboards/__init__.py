"""Results to leaderboards; for programs, this package itself is the door.

    from leaderboards import compare, leaderboard

`README.md`, `index.html`, `boards/` and `results/` are what is published; the rest makes it:

Beside them, `verified.json` notes who measured which result again, and `leaks.json` which tested
images a training set holds.

- `committed/` says which results a board may hold, and keeps them in the repository;
- `statistics/` puts scores together and compares models, `literature/` has what papers say;
- `tables/` writes markdown, `page/` what a browser shows, and `build` all of it.

Of `benchmarks`, nothing is used but its door.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leaderboards.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """Whatever the door offers, imported when it is first asked for."""
    if not name.startswith("__"):
        # `from leaderboards import api` would ask here first.
        import leaderboards.api as door

        if name in door.__all__:
            return getattr(door, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
