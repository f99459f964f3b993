"""Damage of the kinds that files of strangers have, and a count of what came of it."""

import copy
import os
import random
import resource
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from benchmarks.errors import BenchError
from datasets_prep.errors import DatasetError
from models.errors import ModelError

F = TypeVar("F", bound=Callable[..., object])

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or 0)
_BY_DEFAULT = 20
MOST_MEMORY = 1.5e9
TALLY: Counter[tuple[str, str]] = Counter()

JUNK = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**40, 1e300, float("nan"), float("inf"), "", "x", "../x",
    "\0", "\ud800", "é" * 300, "0" * 9, [], [[]], [[1e9] * 6], [{}], {}, {"size": 1},
)  # fmt: skip


def fuzzed(test: F) -> F:
    """Few inputs, the same each time; or `FUZZ_EXAMPLES` of them, new each time."""
    return settings(
        max_examples=EXAMPLES or _BY_DEFAULT,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(test)


def read_or_refused(parser: str, read: Callable[[], object], *names: str | Path) -> None:
    """Read an input; only success will do, or one message that holds one of the names.

    Neither may take more memory than the largest image that is let in.
    """
    before = _peak()
    try:
        read()
    except (BenchError, DatasetError, ModelError) as error:
        TALLY[parser, "refused"] += 1
        if not any(str(name) in str(error) for name in names):
            pytest.fail(f"{parser} names no file: {error}")
    else:
        TALLY[parser, "read"] += 1
    if _peak() - before > MOST_MEMORY:
        pytest.fail(f"{parser} took {(_peak() - before) / 1e6:,.0f} MB")


def _peak() -> float:
    """The most memory that this process ever had, in bytes."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with up to six places changed, put in, left out, repeated, or cut off.

    A seed stands for the changes: drawing each of them would take most of the time.
    """
    return st.integers(0, 2**63).map(lambda seed: _mutated(content, random.Random(seed)))


def _mutated(content: bytes, dice: random.Random) -> bytes:
    out = bytearray(content)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(out) + 1)
        match dice.choice(("bit", "byte", "word", "insert", "delete", "repeat", "cut")):
            case "bit" if at < len(out):
                out[at] ^= 1 << dice.randrange(8)
            case "byte" if at < len(out):
                out[at] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
            case "word":
                out[at : at + 4] = dice.choice((b"\0" * 4, b"\xff" * 4, dice.randbytes(4)))
            case "insert":
                out[at:at] = dice.randbytes(dice.randint(1, 12))
            case "delete":
                del out[at : at + dice.choice((1, 4, 30, 300))]
            case "repeat":
                out[at:at] = out[at : at + dice.choice((1, 8, 60, 600))]
            case "cut" if not dice.randrange(4):
                del out[at:]
    return bytes(out)


def mutated_value(value: Any) -> st.SearchStrategy[Any]:
    """A JSON value with up to four things in it replaced by junk, left out or repeated."""
    return st.integers(0, 2**63).map(lambda seed: _mutated_value(value, random.Random(seed)))


def _mutated_value(value: Any, dice: random.Random) -> Any:
    value = copy.deepcopy(value)
    for _ in range(dice.randint(1, 4)):
        inside = value
        while inside:
            keys = list(inside) if isinstance(inside, dict) else range(len(inside))
            key = dice.choice(keys)
            if isinstance(inside[key], dict | list) and inside[key] and dice.randrange(5):
                inside = inside[key]
                continue
            match dice.choice(("replace", "remove", "repeat")):
                case "replace":
                    inside[key] = copy.deepcopy(dice.choice(JUNK))
                case "remove":
                    del inside[key]
                case "repeat" if isinstance(inside, list):
                    inside.append(copy.deepcopy(inside[key]))
            break
    return value


def png_again(content: bytes) -> bytes:
    """A damaged PNG whose chunks have right checksums, so that damage comes further."""
    out, at = bytearray(content[:8]), 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        body = content[at + 4 : at + 8 + size]
        out += content[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        at += 12 + size
    return bytes(out)
