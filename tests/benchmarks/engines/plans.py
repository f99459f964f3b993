"""Plans by the classes of their batches."""

from collections.abc import Sequence

from benchmarks.evaluation.plan import Batch
from datasets_prep.episodes.episode import Episode


def batches(classes: Sequence[int]) -> list[Batch]:
    """One batch for each class index given, one episode in each."""
    return [
        Batch(number, (Episode(number, own, f"q{number}", (f"s{number}",)),))
        for number, own in enumerate(classes)
    ]
