"""Before a run: which test classes a model met in training, as far as its card and names tell."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from benchmarks.config.schema import BenchConfig
from datasets_prep.leaks.class_names import shared
from datasets_prep.prepared.dataset import PreparedDataset
from models.catalog import MODELS

_NAMED = 5


def class_notes(config: BenchConfig, tested: Mapping[str, PreparedDataset]) -> Iterator[str]:
    """One line for each model, dataset that it was trained on, and dataset that is run.

    Only training datasets that are prepared here are compared, and only by the names of their
    classes: images take longer, and have a verb of their own.

    Args:
        config: the run matrix.
        tested: its datasets by name.
    """
    for model in config.models:
        sources = MODELS[model.target].card.trained_on if model.target in MODELS else ()
        for source in sources:
            if not _is_prepared(config.data_root, source):
                continue
            known = PreparedDataset(config.data_root, source).classes
            for wanted in config.datasets:
                dataset = tested[wanted.name]
                folds = wanted.folds or dataset.folds.tested
                classes = _test_classes(dataset, folds, wanted.shots)
                yield f"{model.name} was trained on {source}: " + _found(
                    shared(classes, known), classes, source, dataset.name
                )


def _is_prepared(data_root: Path, name: str) -> bool:
    return (data_root / name / "manifest.json").is_file()


def _test_classes(
    dataset: PreparedDataset, folds: Iterable[int], shots: Iterable[int]
) -> list[str]:
    tested = (dataset.folds.fold(fold, count) for fold in folds for count in shots)
    novel = (index for fold in tested for index in fold.novel)
    return [dataset.classes[index] for index in dict.fromkeys(novel)]


def _found(met: tuple[str, ...], classes: list[str], source: str, dataset: str) -> str:
    if not met:
        return f"none of the {len(classes)} test classes of {dataset} has the name of one of its"
    names = ", ".join(met[:_NAMED]) + (", ..." if len(met) > _NAMED else "")
    text = f"{len(met)} of the {len(classes)} test classes of {dataset} are among its ({names})"
    return text if source == dataset else f"{text}; images: bench datasets leaks {source} {dataset}"
