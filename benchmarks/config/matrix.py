"""The matrix expanded: one cell per (dataset, protocol, fold, shots), and what it will cost."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from benchmarks.config.schema import BenchConfig
from benchmarks.evaluation.plan import make_plan
from benchmarks.protocols.catalog import Protocol, get_protocol
from benchmarks.protocols.ways import check_ways
from benchmarks.results.journal import is_begun, is_complete
from benchmarks.results.records import EpisodesRecord
from benchmarks.results.store import RunKey, protocol_folder
from datasets_prep.episodes.episode import Episode, digest
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset


@dataclass(frozen=True)
class Cell:
    """One (dataset, protocol, fold, shots) with its episodes."""

    dataset: PreparedDataset
    protocol: Protocol
    fold: int
    shots: int
    episodes: tuple[Episode, ...]
    record: EpisodesRecord

    def key(self, model: str) -> RunKey:
        """Where the result of `model` goes."""
        protocol = protocol_folder(self.protocol.name, self.record.limit)
        return RunKey(self.dataset.name, protocol, model, self.fold, self.shots)


@dataclass(frozen=True)
class PlanSummary:
    """What one run will do by itself.

    An image counts as one encode. Which models share it, or a part of it, their weights decide,
    and a plan loads none.
    """

    key: RunKey
    episodes: int
    images: int
    pairs: int
    naive_image_encodes: int
    naive_support_encodes: int
    status: Literal["new", "begun", "complete"]


def open_datasets(config: BenchConfig) -> dict[str, PreparedDataset]:
    """Every dataset of the matrix by name.

    Raises:
        DatasetError: naming all that are not prepared, each with the command that mends it.
    """
    opened, wrong = {}, []
    for name in dict.fromkeys(wanted.name for wanted in config.datasets):
        try:
            opened[name] = PreparedDataset(config.data_root, name)
        except DatasetError as error:
            wrong.append(str(error))
    if wrong:
        raise DatasetError("\n".join(wrong))
    return opened


def cells(config: BenchConfig) -> Iterator[Cell]:
    """Every cell of the matrix once, its episode list read and checked.

    Raises:
        BenchError, DatasetError: for an unknown protocol, or a dataset, fold or list that is not
            prepared.
    """
    prepared = open_datasets(config)
    known = set()
    for wanted in config.datasets:
        dataset = prepared[wanted.name]
        protocol = get_protocol(wanted.protocol)
        check_ways(protocol, dataset)
        folds = wanted.folds if wanted.folds is not None else dataset.folds.tested
        for fold in folds:
            for shots in wanted.shots:
                place = (dataset.name, protocol.name, fold, shots)
                if place in known:
                    continue
                known.add(place)
                dataset.folds.fold(fold)
                episodes = dataset.episodes(protocol.recipe, fold, shots)
                limit = config.limit and -(-config.limit // protocol.ways) * protocol.ways
                kept = tuple(episodes[:limit])
                record = EpisodesRecord(
                    recipe=protocol.recipe,
                    digest=digest(episodes),
                    count=len(kept),
                    limit=limit if len(kept) < len(episodes) else None,
                )
                yield Cell(dataset, protocol, fold, shots, kept, record)


def plan_matrix(config: BenchConfig) -> list[PlanSummary]:
    """What a run would do, without loading any model."""
    summaries = []
    every = list(cells(config))
    for wanted in config.models:
        for cell in every:
            plan = make_plan(cell.episodes, lambda image_id: (1, 1), 1)
            key = cell.key(wanted.name)
            folder = key.folder(config.results_root)
            summaries.append(
                PlanSummary(
                    key,
                    plan.episodes,
                    plan.images,
                    plan.pairs,
                    plan.naive_image_encodes,
                    plan.naive_support_encodes,
                    "complete" if is_complete(folder) else "begun" if is_begun(folder) else "new",
                )
            )
    return summaries
