"""An episode, the files that hold lists of them, and the digest that names a list."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets_prep.errors import DatasetError
from datasets_prep.runtime.whole import write_whole


@dataclass(frozen=True, slots=True)
class Episode:
    """One test case: segment `class_index` in `query`, given `supports` with their masks.

    The query is never its own support; published lists may repeat a support.
    """

    index: int
    class_index: int
    query: str
    supports: tuple[str, ...]


def storable(name: str) -> bool:
    """Whether an image id can stand in an episode list without ambiguity."""
    return name.isprintable() and "," not in name and name != ""


def canonical_text(episodes: Iterable[Episode]) -> str:
    """`class<TAB>query<TAB>support,support,...<LF>` for each episode in order."""
    return "".join(f"{e.class_index}\t{e.query}\t{','.join(e.supports)}\n" for e in episodes)


def digest(episodes: Iterable[Episode]) -> str:
    """sha256 of the canonical text in UTF-8: the name of an episode list."""
    return hashlib.sha256(canonical_text(episodes).encode()).hexdigest()


def to_jsonl(episodes: Iterable[Episode]) -> str:
    """One JSON object a line, as episode files hold them."""
    return "".join(
        json.dumps(
            {"episode": e.index, "class": e.class_index, "query": e.query, "supports": e.supports},
            ensure_ascii=False,
        )
        + "\n"
        for e in episodes
    )


def write_episodes(path: Path, episodes: Iterable[Episode]) -> None:
    """Write an episode file, whole or not at all."""
    write_whole(path, to_jsonl(episodes))


def read_episodes(path: Path) -> list[Episode]:
    """Read an episode file.

    Raises:
        DatasetError: if it is missing, or naming the first line that is not an episode.
    """
    try:
        # Not splitlines: an id may hold what Unicode calls a line end.
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read the episode list {path}: {error}") from None
    episodes = []
    for number, line in enumerate(lines if lines != [""] else ()):
        try:
            episode = _parse(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DatasetError(f"{path}, line {number + 1}: not an episode ({error!r})") from None
        if episode.index != number:
            raise DatasetError(f"{path}, line {number + 1}: episode {episode.index} out of order")
        if not episode.supports or episode.query in episode.supports:
            raise DatasetError(
                f"{path}, line {number + 1}: supports must be there and differ from the query"
            )
        episodes.append(episode)
    return episodes


def _parse(entry: Any) -> Episode:
    episode = Episode(entry["episode"], entry["class"], entry["query"], tuple(entry["supports"]))
    names = (episode.query, *episode.supports)
    if not isinstance(entry["supports"], list) or not all(isinstance(n, str) for n in names):
        raise TypeError("query and supports must be names")
    if type(episode.index) is not int or type(episode.class_index) is not int:
        raise TypeError("episode and class must be whole numbers")
    return episode
