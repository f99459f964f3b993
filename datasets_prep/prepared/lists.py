"""The episode lists of a dataset that is being prepared: every recipe, fold and number of shots."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets_prep.episodes.episode import Episode, digest, write_episodes
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.episodes.published import check_digest, list_name
from datasets_prep.episodes.recipes import USUAL, has_shots, recipes
from datasets_prep.errors import DatasetError, refuse
from datasets_prep.prepared.folds import Fold, FoldSet


def write_lists(
    dataset: str,
    folds: FoldSet,
    classes: Sequence[str],
    areas: Mapping[str, Mapping[int, int]],
    shots: Sequence[int],
    building: Path,
) -> tuple[dict[str, Any], list[str], list[str]]:
    """Draw and write every list; one that cannot be drawn is a note, but one there must be.

    Returns:
        Entries of the manifest for what was written, why lists that a dataset should have are not
        there, and why lists of protocols with a question are not.
    """
    names = dict(enumerate(classes))
    written: dict[str, Any] = {}
    notes: list[str] = []
    undrawn: list[str] = []
    for fold in (folds.fold(index) for index in folds.tested):
        tested = {count: folds.fold(fold.index, count) for count in shots}
        pools = {
            count: EpisodePool(dataset, folds, each, _present(each, areas), names)
            for count, each in tested.items()
        }
        for recipe, draw in recipes().items():
            for count, pool in pools.items():
                if not has_shots(recipe, count):
                    continue
                name = f"{recipe}/{list_name(fold.index, count)}"
                try:
                    episodes = draw(pool, count)
                    _check_held(episodes, areas)
                except DatasetError as error:
                    (notes if recipe in USUAL else undrawn).append(
                        f"no episode list {name}: {error}"
                    )
                    continue
                checksum = digest(episodes)
                check_digest(dataset, folds, recipe, fold.index, count, checksum)
                write_episodes(building / "episodes" / f"{name}.jsonl", episodes)
                written[name] = {"episodes": len(episodes), "digest": checksum}
    if shots and not written:
        reasons = dict.fromkeys(note.partition(": ")[2] for note in notes)
        refuse("no episode list can be drawn, so nothing was prepared:", list(reasons))
    return written, notes, undrawn


def _present(
    fold: Fold, areas: Mapping[str, Mapping[int, int]]
) -> Mapping[str, tuple[int, ...]] | None:
    """The novel classes in each test image; None if some of the images are left out on purpose."""
    novel, tested = frozenset(fold.novel), dict.fromkeys(image for image, _ in fold.test)
    if not tested.keys() <= areas.keys():
        return None
    return {image: tuple(sorted(novel.intersection(areas[image]))) for image in tested}


def _check_held(episodes: Sequence[Episode], held: Container[str]) -> None:
    """Refuse a list that names images which a dataset of fewer images does not hold."""
    for episode in episodes:
        for image in (episode.query, *episode.supports):
            if image not in held:
                raise DatasetError(f"image {image} of episode {episode.index} is not prepared")
