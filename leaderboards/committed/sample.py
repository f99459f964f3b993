"""Whether a result holds: some of its episodes, measured again by somebody."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks import Result, RunKey, write_whole
from leaderboards.committed.files import counts_digest, read_beside

ROUNDING = 0.005  # of an episode's pixels, by which its counts may differ on another device
VERIFIED = "verified.json"
By = Literal["author", "third party"]
NOBODY = "nobody"


@dataclass(frozen=True)
class Difference:
    """An episode whose counts are not what the result says."""

    key: RunKey
    episode: int
    said: tuple[int, ...]
    found: tuple[int, ...]

    def __str__(self) -> str:
        return (
            f"{self.key} episode {self.episode}: the result says {list(self.said)}, "
            f"measured again {list(self.found)}"
        )


@dataclass(frozen=True)
class Verification:
    """That somebody measured episodes of a result again, and they agreed.

    Attributes:
        by: who did.
        episodes: how many.
        seed: which.
        exact: whether all counts were equal, and not but within `ROUNDING`.
        hardware: where.
        date: the day, UTC.
    """

    by: str
    episodes: int
    seed: int
    exact: bool
    hardware: str
    date: str


def draw(results: Sequence[Result], number: int, seed: int) -> dict[RunKey, tuple[int, ...]]:
    """At random, `number` episodes of all results together, and of each one at least."""
    chosen = {}
    for place, result in enumerate(sorted(results, key=lambda own: own.key)):
        share = number // len(results) + (place < number % len(results))
        every = result.counts.episode
        random = np.random.default_rng([seed, place])
        picks = random.choice(every, min(max(share, 1), len(every)), replace=False)
        chosen[result.key] = tuple(sorted(picks.tolist()))
    return chosen


def differing(
    result: Result, found: Mapping[int, Sequence[int]], *, exact: bool
) -> list[Difference]:
    """The episodes whose counts differ, by more than `ROUNDING` of their pixels if not `exact`."""
    differences = []
    for episode, areas in sorted(found.items()):
        said = result.counts.areas[result.counts.episode == episode][0]
        allowed = 0 if exact else ceil(ROUNDING * int(said[0] + said[3]))
        if np.abs(said - np.array(areas)).max() > allowed:
            differences.append(
                Difference(result.key, episode, tuple(said.tolist()), tuple(map(int, areas)))
            )
    return differences


def read_verified(boards: Path) -> dict[str, Verification]:
    """Who verified what: by the digest of a result's counts, so that a moved result loses it.

    Raises:
        BenchError: if the file is damaged.
    """
    return read_beside(
        boards / VERIFIED,
        lambda body: {name: Verification(**own) for name, own in body.items()},
    )


def record_verified(boards: Path, found: Mapping[str, Verification]) -> Path:
    """Add to what `read_verified` reads; what says more of a result stays."""
    path = boards / VERIFIED
    every = dict(read_verified(boards))
    for name, new in found.items():
        every[name] = max(new, every.get(name, new), key=_weight)
    body = {name: asdict(every[name]) for name in sorted(every)}
    write_whole(path, json.dumps(body, indent=1) + "\n")
    return path


def _weight(own: Verification) -> tuple[bool, bool, int]:
    return own.by == "third party", own.exact, own.episodes


def verified_by(results: Sequence[Result], known: Mapping[str, Verification]) -> str:
    """Who verified all of `results`: author, third party, or nobody."""
    by = set()
    for result in results:
        own = known.get(counts_digest(result.counts, result.queries))
        by.add(own.by if own else NOBODY)
    return by.pop() if len(by) == 1 else NOBODY if NOBODY in by else ", ".join(sorted(by))
