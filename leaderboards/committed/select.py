"""Which runs a user means."""

import difflib
from collections.abc import Iterable, Sequence

from benchmarks import BenchError, RunKey


def select(keys: Sequence[RunKey], text: str) -> list[RunKey]:
    """The runs whose path holds the parts of `text` in their order.

    `dense-nn`, `shapes/dense-nn`, `shapes/fixed-v1/dense-nn/fold0_1shot` and `dense-nn/fold0_1shot`
    are all understood.

    Raises:
        BenchError: if there is none, with the nearest ones.
    """
    wanted = text.strip("/").split("/")
    found = [key for key in keys if _holds(str(key).split("/"), wanted)]
    if found:
        return found
    if not keys:
        raise BenchError(f"there is no result called {text!r}, nor any other; run: bench run")
    models = sorted({key.model for key in keys})
    names = sorted({*models, *map(str, keys)})
    near = difflib.get_close_matches(text, names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(models)}"
    raise BenchError(f"there is no result called {text!r}; {hint}")


def _holds(parts: Iterable[str], wanted: Sequence[str]) -> bool:
    rest = iter(parts)
    return all(part in rest for part in wanted)
