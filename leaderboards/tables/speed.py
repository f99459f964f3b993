"""What `bench speed` kept in the results store, as a section of the overview."""

import json
from pathlib import Path

from benchmarks import BenchError
from leaderboards.tables.markdown import table

_HEAD = (
    "model",
    "episode list",
    "shots",
    "episodes run",
    "naive / cached",
    "cached ms",
    "naive ms",
)


def speed_section(results_root: Path) -> str:
    """A markdown table of naive over cached time; empty where nothing was measured.

    Raises:
        BenchError: naming a file that is not a speed result.
    """
    rows = []
    for path in sorted(results_root.glob("speed/*/*.json")):
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            rows.append(
                [
                    body["model"],
                    body["list"],
                    str(body["shots"]),
                    f"{body['sample']} of {body['episodes']}",
                    f"{body['ratio']:.2f}",
                    f"{1000 * body['cached_seconds'] / body['episodes']:.1f}",
                    f"{1000 * body['naive_seconds'] / body['episodes']:.1f}",
                ]
            )
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            raise BenchError(f"{path} is not a result of bench speed: {error!r}") from None
    if not rows:
        return ""
    return "\n## Speed\n\n" + table(list(_HEAD), rows, "llrrrrr") + "\n"
