"""`bench protocols`: everything that fixes a number, as a table."""

import click

from benchmarks.cli.options.layout import Verb
from benchmarks.cli.options.params import argument, as_json, print_json

_COLUMNS = {
    "name": "protocol",
    "episodes": "episodes a fold",
    "seed": "seed",
    "resolution": "resolution",
    "ignore": "ignored",
    "repeats": "repeated supports",
    "nested": "nested shots",
    "undrawn": "undrawn class",
    "aggregation": "aggregation",
    "source": "source",
    "not_reproduced": "not reproduced",
}


@click.command(
    cls=Verb,
    examples=(
        "bench protocols           all, as a table",
        "bench protocols hsnet     only this one",
        "bench protocols --json    for a program",
    ),
)
@argument("name", "Only this protocol.", required=False)
@as_json
def protocols(name: str | None, as_json: bool) -> None:
    """Show what each protocol fixes.

    Where it comes from, and what of that code is not reproduced, stands beside it.
    """
    from dataclasses import asdict

    from benchmarks.protocols.catalog import PROTOCOLS, get_protocol

    chosen = [get_protocol(name)] if name else list(PROTOCOLS.values())
    rows = [asdict(p) | {"resolution": p.resolution} for p in chosen]
    if as_json:
        print_json(rows)
        return
    from benchmarks.cli.console import print_table

    print_table(list(_COLUMNS.values()), [[_text(row[key]) for key in _COLUMNS] for row in rows])


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "IoU 0" if value == "zero" else str(value)
