"""The suite for programs: what `import benchmarks` offers; `docs/api.md` shows it.

`bench` is made of the same functions. Values that they return, and what reads them, come along:
`leaderboards` uses nothing else of this package. Nothing here imports torch before it is needed.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from benchmarks.config.file import check_name, root
from benchmarks.config.schema import BenchConfig
from benchmarks.errors import BenchError, first_wrong
from benchmarks.evaluation import intervals, metrics, questions
from benchmarks.evaluation.intervals import ClassClusters, Draws, Figure, Interval
from benchmarks.evaluation.metrics import EpisodeCounts, known_metrics
from benchmarks.pictures.canvas import COLOURS, MARKERS, Canvas
from benchmarks.pictures.lettering import lettering
from benchmarks.pictures.panel import Gallery, Panel, Shown
from benchmarks.protocols.catalog import DEFAULT_PROTOCOL, get_protocol
from benchmarks.protocols.lists import expected_digest
from benchmarks.results import figures
from benchmarks.results.agreement import other_option, without_paths
from benchmarks.results.evaluation import Evaluation, evaluations
from benchmarks.results.journal import is_complete
from benchmarks.results.kept_masks import Mask, line_of, mask_of, read_masks, write_lines
from benchmarks.results.records import DatasetRecord, ModelRecord, ProtocolRecord, RunRecord
from benchmarks.results.repeat import repeat_command
from benchmarks.results.store import (
    Result,
    RunKey,
    check_key,
    find_runs,
    find_unfinished,
    protocol_folder,
    read_result,
)
from benchmarks.results.table import read_table, write_table
from datasets_prep.episodes.episode import Episode
from datasets_prep.leaks.class_names import shared as shared_classes
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.runtime.progress import SILENT, Progress
from datasets_prep.runtime.whole import whole_file, write_whole
from models.weights.trained_on import SAME_FOLDS

if TYPE_CHECKING:
    from models.segmenter import Segmenter

__all__ = [
    "COLOURS",
    "MARKERS",
    "SAME_FOLDS",
    "BenchError",
    "Canvas",
    "ClassClusters",
    "DatasetRecord",
    "Draws",
    "Episode",
    "EpisodeCounts",
    "Evaluation",
    "Figure",
    "Gallery",
    "Interval",
    "Mask",
    "ModelRecord",
    "Panel",
    "PreparedDataset",
    "ProtocolRecord",
    "Result",
    "RunKey",
    "RunRecord",
    "Shown",
    "check_key",
    "episodes",
    "evaluate",
    "evaluations",
    "expected_digest",
    "figures",
    "find_runs",
    "find_unfinished",
    "first_wrong",
    "get_protocol",
    "intervals",
    "is_complete",
    "lettering",
    "line_of",
    "load_dataset",
    "load_results",
    "mask_of",
    "metrics",
    "other_option",
    "protocol_folder",
    "questions",
    "read_masks",
    "read_result",
    "read_table",
    "repeat_command",
    "score_masks",
    "shared_classes",
    "whole_file",
    "without_paths",
    "write_lines",
    "write_table",
    "write_whole",
]


def load_dataset(name: str, data_root: Path | str | None = None) -> PreparedDataset:
    """A dataset that `bench prepare` made.

    Args:
        name: as `bench datasets` prints it.
        data_root: where prepared datasets lie; `BENCH_DATA`, then `bench.yaml` here, then `data`
            where it is left out.

    Raises:
        DatasetError: if it is not prepared, or damaged; it says how to prepare it.

    >>> dataset = load_dataset("shapes")
    >>> dataset.classes[3], len(dataset.folds.folds), dataset.size(dataset.image_ids[0])
    ('arrow', 4, (128, 128))
    """
    return PreparedDataset(root("data_root", _path(data_root)), name)


def episodes(
    dataset: PreparedDataset | str, fold: int, shots: int = 1, protocol: str = DEFAULT_PROTOCOL
) -> list[Episode]:
    """The fixed episode list of a protocol, its digest checked.

    Args:
        dataset: a prepared dataset, or its name.
        fold: from 0.
        shots: supports an episode.
        protocol: as `bench protocols` prints it.

    Raises:
        BenchError: for an unknown protocol.
        DatasetError: if there is no such list; it says how to prepare it.

    >>> first = episodes("shapes", fold=0, shots=5)[0]
    >>> first.class_index, first.query, len(first.supports)
    (0, ..., 5)
    """
    return _opened(dataset).episodes(get_protocol(protocol).recipe, fold, shots)


def evaluate(
    model: "Segmenter | str",
    dataset: PreparedDataset | str,
    *,
    protocol: str = DEFAULT_PROTOCOL,
    folds: Sequence[int] | None = None,
    shots: int = 1,
    limit: int | None = None,
    metrics: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    name: str | None = None,
    device: str | None = None,
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32",
    results_root: Path | str | None = None,
    progress: Progress = SILENT,
) -> Evaluation:
    """Measure one model on the fixed episodes of one dataset.

    Args:
        model: a `Segmenter`, or what `bench run` takes: a registered name, `module:Class` or
            `file.py:Class`.
        dataset: a prepared dataset, or its name.
        protocol: as `bench protocols` prints it.
        folds: from 0; all where they are left out.
        shots: supports an episode.
        limit: only so many first episodes of each list.
        metrics: what is counted beside the areas: `boundary`, for Boundary IoU.
        options: of a model given by name.
        name: under which results are kept; the model's own where it is left out.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; a `Segmenter` is there already, on the CPU where
            this is left out.
        dtype: what a model given by name computes in.
        results_root: a results store in which results stay, and from which finished ones of a model
            given by name are taken; nothing is kept where it is left out. The code of a `Segmenter`
            is not known to the store, so it is always measured anew.
        progress: hears how it comes along.

    Raises:
        BenchError: for what the user can mend, a model that cannot be loaded and episodes that
            failed among it.
        DatasetError: likewise, by dataset.

    >>> scores = evaluate("all-foreground", "shapes", folds=[0, 1], limit=40)
    >>> print(f"{100 * scores.miou.value:.1f}, 95% in {100 * scores.miou.interval.low:.1f} to ...")
    1..., 95% in ... to ...
    >>> sorted(scores.class_iou)[:2]
    ['bolt', 'bracket']
    >>> scores.table().to_pandas()[["fold", "class", "fg_intersection", "fg_union"]].shape
    (80, 4)
    """
    from benchmarks.config.loading import resolve_device
    from benchmarks.engines.executor import make_executor
    from benchmarks.engines.listener import ProgressListener
    from benchmarks.engines.runner import run_matrix
    from benchmarks.engines.serial import SerialExecutor
    from benchmarks.engines.worker import Worker

    prepared = _opened(dataset)
    own = None if isinstance(model, str) else model
    label = name or (model if isinstance(model, str) else type(model).__name__)
    check_name(label)
    with tempfile.TemporaryDirectory() as scratch:
        config = _config(
            data_root=prepared.root.parent,
            results_root=Path(results_root or scratch),
            device=device or ("auto" if own is None else "cpu"),
            dtype=dtype,
            limit=limit,
            metrics=known_metrics(metrics),
            datasets=[
                {
                    "name": prepared.name,
                    "protocol": get_protocol(protocol).name,
                    "folds": None if folds is None else tuple(folds),
                    "shots": (shots,),
                }
            ],
            models=[
                {
                    "name": label,
                    "model": model if isinstance(model, str) else None,
                    "options": dict(options or {}),
                }
            ],
        )
        if own is None:
            executor = make_executor(config)
        else:
            executor = SerialExecutor(Worker(config, resolve_device(config.device), {label: own}))
        outcomes = run_matrix(
            config,
            resume="resume" if own is None else "fresh",
            listener=ProgressListener(progress),
            executor=executor,
        )
        failed = [str(outcome.unfinished) for outcome in outcomes if outcome.unfinished]
        if failed:
            raise BenchError(f"{label} has no score on {prepared.name}: " + "; ".join(failed))
        keys = [outcome.key for outcome in outcomes if outcome.record is not None]
        if not keys:
            raise BenchError(f"{label} has no weights for these folds of {prepared.name}")
        return Evaluation(tuple(read_result(config.results_root, key) for key in keys))


def score_masks(
    folder: Path | str,
    dataset: PreparedDataset | str,
    *,
    fold: int,
    shots: int,
    name: str,
    protocol: str = DEFAULT_PROTOCOL,
    sees_test_classes: str = "unknown",
    threshold: int | None = None,
    palette: Literal["colour", "index"] | None = None,
    metrics: Sequence[str] = (),
    results_root: Path | str | None = None,
    progress: Progress = SILENT,
) -> Evaluation:
    """Score masks that another program wrote for one episode list, and keep the result.

    Args:
        folder: one PNG an episode, `000000.png`, ..., or a table of run lengths, as runs keep it;
            see `benchmarks.results.outside_masks` and `kept_masks`.
        dataset: a prepared dataset, or its name.
        fold: from 0.
        shots: supports an episode.
        name: under which the result is kept.
        protocol: as `bench protocols` prints it.
        sees_test_classes: whether their maker saw masks of test classes: yes, no, partly, unknown.
        threshold: this value and all above are foreground; without it masks hold 0 and one more.
        palette: "colour" or "index", where a palette's two do not agree on what is background.
        metrics: what is counted beside the areas: `boundary`, for Boundary IoU.
        results_root: the results store; `BENCH_RESULTS`, then `bench.yaml` here, then `results`.
        progress: hears how it comes along.

    Raises:
        BenchError: naming every file that is wrong; nothing is scored then.

    >>> dataset = load_dataset("shapes")
    >>> Path("masks").mkdir()
    >>> for episode in episodes(dataset, fold=0):
    ...     mask = dataset.mask(episode.query, episode.class_index) == 1
    ...     Image.fromarray(mask).save(f"masks/{episode.index:06d}.png")
    >>> score_masks("masks", dataset, fold=0, shots=1, name="the-truth").miou.value
    1.0
    """
    from benchmarks.results.mask_values import Reading
    from benchmarks.results.outside_masks import Predictions, score

    check_name(name)
    store = root("results_root", _path(results_root))
    predictions = Predictions(
        Path(folder),
        _opened(dataset),
        get_protocol(protocol),
        fold,
        shots,
        name,
        sees_test_classes,
        Reading(threshold, palette),
        known_metrics(metrics),
    )
    score(predictions, store, progress)
    return Evaluation((read_result(store, predictions.key),))


def load_results(results_root: Path | str | None = None) -> list[Evaluation]:
    """All finished results of a store, put together by dataset, protocol, model and shots.

    Args:
        results_root: the results store; `BENCH_RESULTS`, then `bench.yaml` here, then `results`.

    Raises:
        BenchError: naming the first file that is damaged.

    >>> _ = evaluate("centre-prior", "shapes", folds=[0], limit=20, results_root="results")
    >>> [(scores.model, scores.protocol) for scores in load_results("results")]
    [('centre-prior', 'fixed-v1-first20')]
    """
    store = root("results_root", _path(results_root))
    return evaluations(read_result(store, key) for key in find_runs(store))


def _config(**fields: Any) -> BenchConfig:
    try:
        return BenchConfig(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = [part for part in first["loc"] if isinstance(part, str)][-1]
        raise BenchError(f"{field}: {first['msg'].removeprefix('Value error, ')}") from None


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)


def _opened(dataset: PreparedDataset | str) -> PreparedDataset:
    return load_dataset(dataset) if isinstance(dataset, str) else dataset
