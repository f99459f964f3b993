"""The mask of one episode: kept by a run, or predicted now."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchError
from benchmarks.protocols.catalog import Protocol
from benchmarks.results.journal import is_complete
from benchmarks.results.kept_masks import FOLDER, read_kept
from benchmarks.results.store import Result, RunKey, find_runs, find_unfinished, read_result
from datasets_prep.episodes.episode import Episode, digest
from datasets_prep.prepared.dataset import PreparedDataset
from models.segmenter import Segmenter


def find_run(results_root: Path, dataset: str, text: str) -> RunKey:
    """The finished run that `text` names: all of its path in the store, or its last parts.

    Raises:
        BenchError: if there is none, or more than one, or it is not finished; of an unfinished one
            the episodes that failed are named.
    """
    wanted = f"/{text.strip('/')}"
    runs = [key for key in find_runs(results_root) if key.dataset == dataset]
    found = [key for key in runs if f"/{key}".endswith(wanted)]
    if len(found) == 1:
        return found[0]
    begun = [run for run in find_unfinished(results_root) if run.key.dataset == dataset]
    for run in begun:
        if not found and f"/{run.key}".endswith(wanted):
            failed = "".join(f"\n  episode {n}: {run.failed[n]}" for n in sorted(run.failed))
            raise BenchError(f"{run.key} is {run}; {run.mend}{failed}")
    have = "\n".join(f"  {key}" for key in found or runs) or "  none"
    what = "more than one run" if found else "no finished run"
    raise BenchError(
        f"{what} of {dataset} in {results_root} is called {text!r}; there are:\n{have}"
    )


def kept_mask(results_root: Path, key: RunKey, episode: int) -> NDArray[np.bool_]:
    """The mask that a run kept of its own, or `bench score`: H×W bool, on the protocol's grid.

    Raises:
        BenchError: if it kept none, or it is damaged.
    """
    folder = key.folder(results_root)
    mask = read_kept(folder, episode)
    if mask is None:
        raise BenchError(
            f"{key} kept no mask of episode {episode} ({folder / FOLDER}); measure it again with "
            f"--fresh --save-predictions, score masks of another program again, or use --model"
        )
    return mask


def no_pictures(results_root: Path, result: Result) -> str | None:
    """Why the store has no masks of a result, which may be a committed one; None if it has its run.

    Raises:
        BenchError: if the run in the store is damaged.
    """
    if not is_complete(result.key.folder(results_root)):
        return f"{result.key.model}: committed rows have no pictures here"
    if not np.array_equal(read_result(results_root, result.key).counts.areas, result.counts.areas):
        return f"{result.key}: no pictures, its run in {results_root} has other counts than the row"
    return None


def predict_now(
    model: Segmenter,
    device: str,
    dataset: PreparedDataset,
    protocol: Protocol,
    episodes: Sequence[Episode],
    number: int,
) -> NDArray[np.bool_]:
    """What `model` makes of one episode: H×W bool, on the protocol's grid.

    Args:
        model: the segmenter.
        device: where it is.
        dataset: holds the episode's images.
        protocol: says on which grid the mask is wanted.
        episodes: the list.
        number: of the episode in it.
    """
    import torch

    from benchmarks.evaluation.cache import FeatureCache
    from benchmarks.evaluation.evaluator import Evaluator
    from benchmarks.evaluation.loader import Loader
    from benchmarks.evaluation.plan import Batch, units
    from benchmarks.evaluation.prediction import predict

    loader = Loader(dataset, threads=1)
    try:
        evaluator = Evaluator(model, loader, FeatureCache([]), torch.device(device))
        with torch.inference_mode():
            unit = units(episodes, protocol.ways)[number // protocol.ways]
            scores = evaluator.segment(Batch(0, unit), digest(episodes), protocol).scores
            size = dataset.size(unit[0].query)
            masks = predict(model, scores, size, protocol.target(size), protocol.ways)
            mask: NDArray[np.bool_] = masks[number % protocol.ways]
    finally:
        loader.close()
    return mask
