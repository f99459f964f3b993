"""Results as the `model-index` of a model card, which the Hugging Face hub shows."""

from collections.abc import Iterable
from typing import Any

import yaml

from benchmarks import BenchError, Figure, Result, questions
from leaderboards.committed.collect import agreeing
from leaderboards.statistics.scores import Row, Setting, settings, trained_alone


def model_index(results: Iterable[Result]) -> str:
    """The YAML that belongs between the `---` lines of a model card.

    One entry for every model, one result for every dataset, protocol and number of shots: the mean
    over the folds, or the one fold that the weights are trained for.

    Raises:
        BenchError: if no row has either, or two results were not measured on the same episodes.
    """
    results = list(results)
    for stranger in agreeing(results)[1]:
        raise BenchError(f"{stranger.key} does not fit the other results: {stranger.reason}")
    models: dict[str, list[dict[str, Any]]] = {}
    for setting in settings(results):
        for row in setting.rows:
            alone = trained_alone(row.records)
            if setting.limit is None and (row.miou is not None or alone is not None):
                models.setdefault(row.model.name, []).append(_entry(setting, row, alone))
    if not models:
        raise BenchError(
            "a card needs all folds of a dataset, run without --limit; run the others first"
        )
    index = [{"name": name, "results": entries} for name, entries in models.items()]
    return yaml.safe_dump(
        {"model-index": index}, sort_keys=False, allow_unicode=True, default_flow_style=None
    )


def _entry(setting: Setting, row: Row, alone: int | None) -> dict[str, Any]:
    dataset = row.records[0].setup.dataset
    score = row if row.miou is not None or alone is None else row.folds[alone]
    place = dataset.name if score is row else f"{dataset.name} fold {alone}"
    name = f"{place}, {setting.protocol.name}, {setting.shots}-shot"
    per_fold = [row.folds[fold].miou.value for fold in sorted(row.folds)]
    return {
        "task": {"type": "image-segmentation", "name": "Few-shot semantic segmentation"},
        "dataset": {
            "type": dataset.name,
            "name": name,
            "config": setting.protocol.name,
            "split": "test",
            "revision": dataset.digest,
            "args": {
                "shots": setting.shots,
                "resolution": setting.protocol.resolution,
                "episodes": [record.setup.episodes.count for record in row.records],
                "episode_digests": [record.setup.episodes.digest for record in row.records],
            },
        },
        "metrics": [
            _metric("mean_iou", "mIoU", score.miou, folds=[_percent(value) for value in per_fold]),
            _metric("fb_iou", "FB-IoU", score.fb_iou),
            *(
                {
                    "type": name,
                    "name": questions.HEADS[name],
                    "value": _percent(own),
                    "args": {"unit": "percent"},
                }
                for name, own in row.answers.items()
            ),
        ],
    }


def _metric(kind: str, name: str, figure: Figure | None, **more: object) -> dict[str, Any]:
    if figure is None:
        raise ValueError("a row without a mean has no metric")
    ends = [_percent(figure.interval.low), _percent(figure.interval.high)]
    args = {"unit": "percent", "interval_95": ends, **more}
    return {"type": kind, "name": name, "value": _percent(figure.value), "args": args}


def _percent(value: float) -> float:
    return round(100 * value, 2)
