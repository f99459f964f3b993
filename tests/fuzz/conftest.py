"""Says at the end how many inputs were tried."""

from collections import Counter

import pytest

from tests.fuzz.mutate import EXAMPLES, TALLY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not EXAMPLES:
        return
    by_parser: dict[str, Counter[str]] = {}
    for (parser, outcome), count in sorted(TALLY.items()):
        by_parser.setdefault(parser, Counter())[outcome] += count
    terminalreporter.section("inputs tried")
    for parser, outcomes in by_parser.items():
        parts = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items())
        terminalreporter.line(f"{parser}: {outcomes.total():,} ({parts})")
