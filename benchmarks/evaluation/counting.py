"""From scores to what is kept of an episode: integer counts, and its mask where that is wanted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby

from torch import Tensor

from benchmarks.evaluation.border import count_further
from benchmarks.evaluation.loader import Loader
from benchmarks.evaluation.metrics import Metric, count
from benchmarks.evaluation.plan import Batch
from benchmarks.evaluation.prediction import encode_mask, predict
from benchmarks.protocols.catalog import Protocol
from benchmarks.results.kept_masks import Kind, line_of
from datasets_prep.episodes.episode import Episode
from models.segmenter import Segmenter


@dataclass(frozen=True)
class Wanted:
    """What is wanted of every predicted mask beside its areas.

    Attributes:
        masks: how it is kept, if it is.
        metrics: what else is counted, names of `metrics.METRICS`.
    """

    masks: Kind | None = None
    metrics: tuple[Metric, ...] = ()


@dataclass(frozen=True)
class Segmented:
    """What a model says of a batch.

    Attributes:
        scores: B×H×W, on the model's grid; or of all classes of a query at once, see `predict`.
        presence: of each query; None where the protocol does not ask, or the model does not say.
    """

    scores: Tensor
    presence: Sequence[float] | None = None


@dataclass(frozen=True)
class Counted:
    """One episode's counts as in `EpisodeCounts`, and its predicted mask where it is wanted.

    The mask is a PNG, or a line as `kept_masks.line_of` writes it.
    """

    episode: Episode
    areas: tuple[int, int, int, int]
    further: Mapping[str, int]
    mask: bytes | None
    presence: float | None


def counted(
    model: Segmenter,
    loader: Loader,
    batch: Batch,
    segmented: Segmented,
    protocol: Protocol,
    wanted: Wanted,
    loading: Callable[[], AbstractContextManager[None]],
) -> Iterator[Counted]:
    """What the scores of a batch come to, episode by episode.

    Args:
        model: gives geometry and rule.
        loader: has the ground truths.
        batch: the episodes.
        segmented: what the model says of them.
        protocol: says on which grid masks are scored.
        wanted: what is kept.
        loading: held while a ground truth is loaded: what fails then is no fault of the model.
    """
    scores, presence = segmented.scores, segmented.presence
    each = len(batch.episodes) // len(scores)
    sizes = [loader.dataset.size(e.query) for e in batch.episodes]
    for size, group in groupby(range(len(sizes)), key=lambda index: sizes[index]):
        indices = list(group)
        part = scores[indices[0] // each : indices[-1] // each + 1]
        target = protocol.target(size)
        masks = predict(model, part, size, target, protocol.ways)
        for index, mask in zip(indices, masks, strict=True):
            episode = batch.episodes[index]
            with loading():
                truth = loader.truth(episode.query, episode.class_index, target).numpy()
            further = count_further(mask, truth, wanted.metrics)
            kept = None
            if wanted.masks is not None:
                kept = line_of(episode.index, mask) if wanted.masks == "rle" else encode_mask(mask)
            yield Counted(
                episode, count(mask, truth), further, kept, presence[index] if presence else None
            )
