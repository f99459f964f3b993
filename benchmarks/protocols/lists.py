"""Episode lists to look at: drawn from published list files alone, or read as prepared."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.protocols.consecutive import Place, has_neighbour
from benchmarks.results.records import Setup
from datasets_prep.datasets.class_names import class_names
from datasets_prep.episodes.episode import Episode, digest
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.episodes.published import difference, list_name, published_digest
from datasets_prep.episodes.recipes import recipes
from datasets_prep.errors import DatasetError
from datasets_prep.formats.splitfiles import odd_entry, read_lists
from datasets_prep.prepared.dataset import PreparedDataset


@dataclass(frozen=True)
class EpisodeList:
    """One list with the name that it goes by.

    `classes` names the fold's novel classes by index.
    """

    dataset: str
    recipe: str
    fold: int
    shots: int
    classes: Mapping[int, str]
    episodes: tuple[Episode, ...]

    @property
    def digest(self) -> str:
        """sha256 of the list's canonical text."""
        return digest(self.episodes)

    @property
    def name(self) -> str:
        """`fold0_5shot`."""
        return list_name(self.fold, self.shots)


def drawn_lists(
    dataset: str,
    folder: Path,
    recipe: str,
    shots: Sequence[int],
    folds: Sequence[int] | None = None,
) -> Iterator[EpisodeList]:
    """Lists drawn now from the fold lists in `folder`, fold by fold, without any image.

    Raises:
        DatasetError: if files are missing, the recipe needs label maps, or a list differs from
            its publication; the first line of another form is named.
    """
    every = read_lists(dataset, folder)
    names = class_names(dataset, every)
    draw = recipes()[recipe]
    for index in range(len(every.folds)) if folds is None else folds:
        pool = EpisodePool(dataset, every, every.fold(index), classes=names)
        classes = {novel: names[novel] for novel in pool.fold.novel}
        for count in shots:
            drawn = EpisodeList(dataset, recipe, index, count, classes, tuple(draw(pool, count)))
            wrong = difference(dataset, every, recipe, index, count, drawn.digest)
            if wrong is not None:
                odd = odd_entry(dataset, folder, index) or (
                    "all lines look alike, so one is missing, too much, changed or elsewhere"
                )
                raise DatasetError(f"{wrong}; {odd}; take HSNet's files as they are")
            yield drawn


def prepared_lists(
    dataset: PreparedDataset,
    recipe: str,
    shots: Sequence[int],
    folds: Sequence[int] | None = None,
) -> Iterator[EpisodeList]:
    """Lists of a prepared dataset, fold by fold, their digests checked.

    Raises:
        DatasetError: if a list is missing or is not as prepared.
    """
    for index in dataset.folds.tested if folds is None else folds:
        for count in shots:
            novel = dataset.folds.fold(index, count).novel
            classes = {number: dataset.classes[number] for number in novel}
            episodes = tuple(dataset.episodes(recipe, index, count))
            yield EpisodeList(dataset.name, recipe, index, count, classes, episodes)


def expected_digest(setup: Setup) -> str | None:
    """The digest that the list of a result must have; None where it was never published."""
    if setup.dataset.lists != "published":
        return None
    return published_digest(setup.dataset.name, setup.episodes.recipe, setup.fold, setup.shots)


@dataclass(frozen=True)
class ListStats:
    """What is in a list.

    Attributes:
        episodes: number of episodes.
        queries: distinct query images.
        images: distinct images, what each model encodes once.
        pairs: distinct (support image, class), what each model encodes once.
        repeated: episodes that hold a support twice.
        neighbours: episodes with a support that comes directly before or after the query, as
            file names tell; None where they tell nothing.
        per_class: episodes by class name, 0 for novel classes that were never drawn.
    """

    episodes: int
    queries: int
    images: int
    pairs: int
    repeated: int
    neighbours: int | None
    per_class: dict[str, int]


def stats(listed: EpisodeList, known: Mapping[str, Place] | None = None) -> ListStats:
    """Count what is in a list.

    Args:
        listed: the list.
        known: places of the dataset's images in sequences, as from
            `benchmarks.protocols.consecutive`.
    """
    episodes = listed.episodes
    drawn = Counter(episode.class_index for episode in episodes)
    return ListStats(
        episodes=len(episodes),
        queries=len({e.query for e in episodes}),
        images=len({image for e in episodes for image in (e.query, *e.supports)}),
        pairs=len({(support, e.class_index) for e in episodes for support in e.supports}),
        repeated=sum(len(set(e.supports)) < len(e.supports) for e in episodes),
        neighbours=sum(has_neighbour(e, known) for e in episodes) if known else None,
        per_class={name: drawn[index] for index, name in listed.classes.items()},
    )


def problems(episodes: Sequence[Episode], dataset: PreparedDataset, fold: int) -> list[str]:
    """What speaks against a list whose digest is right; nothing if it can be run as it is.

    Every image must be in the dataset, every class be novel in the fold, and query and supports
    of an episode must not share a group.
    """
    folds = dataset.folds
    shots = len(episodes[0].supports) if episodes else None
    novel = frozenset(folds.fold(fold, shots).novel)
    known = frozenset(dataset.image_ids)
    names = dict(enumerate(dataset.classes))
    wrong = []
    for episode in episodes:
        images = (episode.query, *episode.supports)
        if absent := [image for image in images if image not in known]:
            wrong.append(f"episode {episode.index}: the dataset has no image {absent[0]}")
        elif episode.class_index not in novel:
            name = names.get(episode.class_index, episode.class_index)
            wrong.append(f"episode {episode.index}: class {name!r} is not novel in fold {fold}")
        elif folds.group_of(episode.query) in map(folds.group_of, episode.supports):
            wrong.append(f"episode {episode.index}: query and a support share a group")
    return wrong
