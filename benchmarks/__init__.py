"""Few-shot segmentation measured; for programs, this package itself is the door.

    from benchmarks import episodes, evaluate, load_dataset, load_results, score_masks

`benchmarks.api` says what they do, `docs/api.md` shows them. What lies behind:

- `cli/` is the `bench` command, `config/` what it is to run;
- `protocols/` says what fixes a number, `evaluation/` measures one list, `engines/` a whole matrix;
- `results/` keeps what was measured, `pictures/` shows it;
- `train/` makes checkpoints, `speed/` compares the cached with the naive way.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """Whatever the door offers, imported when it is first asked for."""
    if not name.startswith("__"):
        # `from benchmarks import api` would ask here first.
        import benchmarks.api as door

        if name in door.__all__:
            return getattr(door, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
