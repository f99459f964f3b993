"""Some episodes of a finished result, measured again to see whether it holds."""

import re
from collections.abc import Collection, Mapping

import torch

from benchmarks.errors import BenchError
from benchmarks.evaluation.cache import FeatureCache, Tier
from benchmarks.evaluation.evaluator import Evaluator
from benchmarks.evaluation.loader import Loader
from benchmarks.evaluation.plan import make_plan
from benchmarks.protocols.catalog import get_protocol
from benchmarks.results import environment
from benchmarks.results.agreement import differences
from benchmarks.results.describe import model_record
from benchmarks.results.records import RunRecord
from datasets_prep.episodes.episode import Episode, digest
from datasets_prep.prepared.dataset import PreparedDataset
from models.segmenter import Segmenter, trait

_CACHE = 2**30  # bytes of features
_SAME = ("weights_digest", "parameters", "source_digest", "comparable")
Areas = tuple[int, int, int, int]


def same_episodes(record: RunRecord, dataset: PreparedDataset) -> tuple[Episode, ...]:
    """The episodes that a result was measured on.

    Raises:
        BenchError: if the dataset here, or its list, is not the one that was measured.
    """
    setup = record.setup
    episodes = dataset.episodes(setup.episodes.recipe, setup.fold, setup.shots)
    data = dataset.labels_digest if setup.dataset.labels_alone else dataset.digest
    for what, then, now in (
        ("dataset", setup.dataset.digest, data or dataset.digest),
        ("episode list", setup.episodes.digest, digest(episodes)),
    ):
        if then != now:
            raise BenchError(
                f"measured on {what} {then[:16]}, {dataset.name} has {now[:16]} here; "
                f"prepare it as it was"
            )
    return tuple(episodes[: setup.episodes.limit])


def check_model(record: RunRecord, model: Segmenter, target: str) -> None:
    """Refuse a model that is not the one of the record: other weights, other code.

    Args:
        record: what was measured.
        model: what is loaded.
        target: the name or the spec that it was loaded by.

    Raises:
        BenchError: naming the first thing that differs, with both values.
    """
    then = record.setup.model
    now = model_record(then.name, model, record.setup.dataset.name, target)
    wanted, found = (own.model_dump(include=set(_SAME), mode="json") for own in (then, now))
    for name, old, new in differences(wanted, found):
        raise BenchError(
            f"{then.name} was measured with {name} {old}, the model here has {new}; name what it "
            f"was measured with by --model and --option"
        )


def measure_again(
    record: RunRecord,
    wanted: Collection[int],
    model: Segmenter,
    dataset: PreparedDataset,
    device: torch.device,
) -> Mapping[int, Areas]:
    """Counts of some episodes, in the batches in which they were measured.

    Args:
        record: the result.
        wanted: episode numbers.
        model: the one that was measured; see `check_model`.
        dataset: the one that it was measured on.
        device: where the model is.

    Raises:
        BenchError: if the dataset is another, or the model fails on an episode.
    """
    setup = record.setup
    episodes = same_episodes(record, dataset)
    loader = Loader(dataset, threads=1)
    try:
        cache = FeatureCache([Tier(torch.device("cpu"), _CACHE)])
        batch = trait(model, "encode_batch") if device.type == "cuda" else 1
        evaluator = Evaluator(model, loader, cache, device, encode_batch=batch)
        protocol = get_protocol(setup.protocol.name)
        plan = make_plan(episodes, evaluator.grid_of, setup.batch_size, protocol.ways)
        found: dict[int, Areas] = {}
        for part in plan.batches:
            own = {episode.index for episode in part.episodes}
            if own & set(wanted):
                tried = evaluator.measure(part, protocol, wanted=own, seed=setup.episodes.digest)
                for number, reason in tried.failed.items():
                    raise BenchError(f"the model fails on episode {number}: {reason}")
                found |= {row.episode: row.areas for row in tried.rows if row.episode in wanted}
        return found
    finally:
        loader.close()


def same_kind(record: RunRecord, device: str) -> bool:
    """Whether this machine's device and torch are those of the result, so that bits are equal."""
    return (
        record.setup.device == device
        and _chip(record.hardware) == _chip(environment.hardware(device))
        and record.versions.get("torch") == environment.versions().get("torch")
    )


def _chip(hardware: str) -> str:
    return re.sub(r", \d+ threads$", "", hardware)
