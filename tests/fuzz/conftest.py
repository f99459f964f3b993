"""Says at the end how many inputs were tried."""

import resource
from collections import Counter

import pytest

from tests.fuzz.mutate import EXAMPLES, TALLY


@pytest.fixture(autouse=True, scope="session")
def little_memory() -> None:
    """Spare the machine what a parser may do to it that nobody knows yet."""
    if EXAMPLES:
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.RLIM_INFINITY))


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
