"""Counts something more of the masks that a finished run has kept: no model is run again."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import Timeout

from benchmarks.errors import BenchError
from benchmarks.evaluation.again import same_episodes
from benchmarks.evaluation.border import count_further
from benchmarks.evaluation.metrics import Metric, count, further_counts, known_metrics
from benchmarks.protocols.catalog import get_protocol
from benchmarks.results.kept_masks import read_kept
from benchmarks.results.outside_masks import truth_of
from benchmarks.results.records import write_record
from benchmarks.results.store import Result, RunKey, read_result
from benchmarks.results.table import write_table
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.runtime.disk import acquired
from datasets_prep.runtime.progress import SILENT, Progress


def count_more(
    results_root: Path,
    key: RunKey,
    data_root: Path,
    metrics: Sequence[str],
    progress: Progress = SILENT,
) -> Result:
    """Add what `metrics` count to a finished run's counts, from the masks that it kept.

    Returns:
        The result with them.

    Raises:
        BenchError: if there is no such result, its data are not here as they were, it kept no mask
            of an episode, or a mask does not make the counts of the result.
        DatasetError: if the dataset is not prepared.
    """
    folder = key.folder(results_root)
    try:
        lock = acquired(folder / ".lock")
    except Timeout:
        raise BenchError(f"another process is measuring into {folder}") from None
    with lock:
        result = read_result(results_root, key)
        wanted = known_metrics([*result.record.setup.metrics, *metrics])
        dataset = PreparedDataset(data_root, key.dataset)
        rows = _further(folder, result, dataset, wanted, progress)
        further = {
            name: np.array([own[name] for own in rows], dtype=np.int64)
            for name in further_counts(wanted)
        }
        counts = replace(result.counts, further=further)
        setup = result.record.setup.model_copy(update={"metrics": wanted})
        record = result.record.model_copy(update={"setup": setup})
        # The table first: columns that a record does not name are no harm.
        write_table(folder / "episodes.parquet", counts, result.queries, result.milliseconds)
        write_record(folder / "run.json", record)
    return replace(result, record=record, counts=counts)


def _further(
    folder: Path,
    result: Result,
    dataset: PreparedDataset,
    wanted: Sequence[Metric],
    progress: Progress,
) -> list[dict[str, int]]:
    episodes, rows = same_episodes(result.record, dataset), []
    protocol = get_protocol(result.record.setup.protocol.name)
    for episode, areas in zip(episodes, result.counts.areas.tolist(), strict=True):
        mask = read_kept(folder, episode.index)
        if mask is None:
            raise BenchError(
                f"{result.key} kept no mask of episode {episode.index}; measure it again with "
                f"--fresh --save-predictions rle, or score masks of another program again"
            )
        truth = truth_of(episode, dataset, protocol)
        if mask.shape != truth.shape or count(mask, truth) != tuple(areas):
            raise BenchError(
                f"{folder}: the mask of episode {episode.index} does not make its counts; measure "
                f"the run again with --fresh"
            )
        rows.append(count_further(mask, truth, wanted))
        progress.update("counting", len(rows), len(episodes))
    return rows
