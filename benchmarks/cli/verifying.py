"""What `bench results verify` does: load the model that a record names, and measure a sample."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.errors import BenchError
from benchmarks.results.store import Result

if TYPE_CHECKING:
    from datasets_prep.prepared.dataset import PreparedDataset
    from leaderboards.committed.archive import Archive
    from leaderboards.committed.sample import Difference, Verification
    from models.segmenter import Segmenter


@dataclass(frozen=True)
class Outcome:
    """What became of a verification.

    Attributes:
        differences: episodes that differ.
        summary: a line for the user.
        verified: what may be noted, by the digest of a result's counts.
    """

    differences: "tuple[Difference, ...]"
    summary: str
    verified: "Mapping[str, Verification]"


def verify_archive(path: Path, by: str, given: Mapping[str, Any]) -> Outcome:
    """Measure a sample of an archive again.

    Args:
        path: the archive.
        by: who does it.
        given: the verb's options.

    Raises:
        BenchError, DatasetError, ModelError: what the user has to mend.
    """
    from benchmarks import load_dataset
    from benchmarks.config.loading import resolve_device
    from benchmarks.evaluation.again import check_model, measure_again, same_kind
    from benchmarks.results import environment
    from leaderboards.committed import sample
    from leaderboards.committed.archive import read_archive
    from leaderboards.committed.curate import check_whole
    from leaderboards.committed.files import counts_digest

    sent = read_archive(path)
    check_whole(sent.results)
    device = resolve_device(given["device"])
    drawn = sample.draw(sent.results, given["sample"], given["seed"])
    differences: list[Difference] = []
    verified: dict[str, Verification] = {}
    loaded: dict[str, Segmenter] = {}
    exactly = True
    for result in sent.results:
        setup, wanted = result.record.setup, drawn[result.key]
        dataset = load_dataset(setup.dataset.name, given["data_root"])
        own = sample.differing(result, _of_masks(sent, result, wanted, dataset), exact=True)
        exact = True
        if setup.model.kind != "predictions":
            exact = same_kind(result.record, device.type)
            name = _target(result, given)
            model = _model(name, result, given, str(device), loaded)
            check_model(result.record, model, name)
            again = measure_again(result.record, wanted, model, dataset, device)
            own += sample.differing(result, again, exact=exact)
        elif result.key not in sent.masks:
            raise BenchError(
                f"{result.key} is of masks of an outside program, and they are not in the archive; "
                f"there is nothing to measure"
            )
        differences += own
        exactly = exactly and exact
        verified[counts_digest(result.counts, result.queries)] = sample.Verification(
            by, len(wanted), given["seed"], exact, environment.hardware(device.type),
            datetime.now(UTC).date().isoformat(),
        )  # fmt: skip
    said = "" if exactly else f" within {sample.ROUNDING:.1%} of their pixels, on another device"
    number = sum(map(len, drawn.values()))
    found = f"{len(differences)} differ" if differences else f"all counts agree{said}"
    summary = (
        f"{number} episodes of {len(sent.results)} results were measured again with seed "
        f"{given['seed']}: {found}"
    )
    return Outcome(tuple(differences), summary, verified)


def _target(result: Result, given: Mapping[str, Any]) -> str:
    """The name or the spec of the model to load."""
    from benchmarks.results.repeat import registered

    name = given["model"] or registered(result.record.setup.model)
    if name is None:
        raise BenchError(
            f"{result.key} is of code that is not the suite's; name it with --model file.py"
        )
    return str(name)


def _model(
    name: str,
    result: Result,
    given: Mapping[str, Any],
    device: str,
    loaded: "dict[str, Segmenter]",
) -> "Segmenter":
    """The model of a result; one at a time is held."""
    from benchmarks.cli.options.segmenters import chosen_model
    from benchmarks.cli.options.segmenters import loaded as load
    from benchmarks.results.repeat import options_of

    setup = result.record.setup
    options = [] if given["model"] else [f"{k}={v}" for k, v in options_of(setup.model).items()]
    options += [text.replace("{fold}", str(setup.fold)) for text in given["options"]]
    label = " ".join([name, setup.dtype, *options])
    if label not in loaded:
        loaded.clear()
        chosen = chosen_model(name, options, given["custom_code"])
        loaded[label], _ = load(chosen, device, setup.dtype)
    return loaded[label]


def _of_masks(
    sent: "Archive", result: Result, wanted: tuple[int, ...], dataset: "PreparedDataset"
) -> dict[int, tuple[int, int, int, int]]:
    """The counts of those masks that the archive holds; they need no model."""
    from benchmarks.evaluation.again import same_episodes
    from benchmarks.evaluation.metrics import count
    from benchmarks.protocols.catalog import get_protocol
    from benchmarks.results.kept_masks import mask_of
    from benchmarks.results.outside_masks import truth_of

    masks = sent.masks.get(result.key, {})
    protocol = get_protocol(result.record.setup.protocol.name)
    found = {}
    episodes = same_episodes(result.record, dataset) if masks else ()
    for number in wanted if masks else ():
        if number not in masks:
            raise BenchError(f"the archive holds no mask of episode {number} of {result.key}")
        truth = truth_of(episodes[number], dataset, protocol)
        mask = mask_of(masks[number])
        if mask.shape != truth.shape:
            raise BenchError(f"the mask of episode {number} of {result.key} has another size")
        found[number] = count(mask, truth)
    return found
