"""Scores masks that any outside program wrote for one of our episode lists.

One PNG an episode, `000123.png`: a single channel with two values, of which 0 is background, or as
a `Reading` says; at the query's original size or on the protocol's grid. Or one table of run
lengths, as `kept_masks` writes it. All are checked before any is scored. Under N-way protocols a
pixel goes to one class of a query or to none, so that masks which overlap are refused.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.errors import BenchError
from benchmarks.evaluation.border import count_further
from benchmarks.evaluation.metrics import Metric, count
from benchmarks.protocols.catalog import Protocol
from benchmarks.protocols.ways import check_ways
from benchmarks.results.describe import course_here, dataset_record, make_record, protocol_record
from benchmarks.results.journal import Journal, Row
from benchmarks.results.kept_masks import (
    Mask,
    file_name,
    finish,
    keep,
    line_of,
    mask_of,
    read_masks,
)
from benchmarks.results.mask_values import AS_THEY_ARE, Reading, Values
from benchmarks.results.records import EpisodesRecord, ModelRecord, RunRecord, Setup
from benchmarks.results.store import RunKey, previous_setup
from datasets_prep.episodes.episode import Episode, digest
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.runtime.progress import SILENT, Progress
from models.geometry import Size, nearest

_ROWS = 64  # rows that are written at a time
_NAMED = 10  # problems that a message names


@dataclass(frozen=True)
class Predictions:
    """Where masks lie and what they answer.

    Attributes:
        place: the folder that holds the PNGs and nothing else of that suffix, or the table.
        dataset: the prepared dataset.
        protocol: the protocol that they are scored by.
        fold: of the episode list.
        shots: of the episode list.
        name: under which the result is kept.
        sees_test_classes: whether whoever made them saw masks of the test classes in training:
            yes, no, partly or unknown.
        reading: what is foreground in them.
        metrics: what is counted beside the areas.
    """

    place: Path
    dataset: PreparedDataset
    protocol: Protocol
    fold: int
    shots: int
    name: str
    sees_test_classes: str = "unknown"
    reading: Reading = AS_THEY_ARE
    metrics: tuple[Metric, ...] = ()

    @property
    def key(self) -> RunKey:
        """The place of the result."""
        return RunKey(self.dataset.name, self.protocol.name, self.name, self.fold, self.shots)

    def files(self) -> dict[str, list[Path]]:
        """The PNGs by their names with the suffix in small letters."""
        found: dict[str, list[Path]] = {}
        for path in sorted(self.place.iterdir()):
            if path.suffix.lower() == ".png":
                found.setdefault(f"{path.stem}.png", []).append(path)
        return found

    def wrong_size(self, name: str, size: tuple[int, ...], episode: Episode) -> list[str]:
        """What is wrong with the size of a mask that is called `name`."""
        original = self.dataset.size(episode.query)
        allowed = {original: None, self.protocol.target(original): None}
        if size in allowed:
            return []
        sizes = " or ".join(_size(own) for own in allowed)
        return [f"{name} is {_size(size)}, the query {episode.query} is {sizes}"]


def score(predictions: Predictions, results_root: Path, progress: Progress = SILENT) -> RunRecord:
    """Score all masks of one list; result and masks are kept as a run's, these on its grid.

    Raises:
        BenchError: naming every file that is missing, too much, unreadable or of another size,
            values that leave in doubt what is foreground, masks of N classes that overlap, or a
            measured model's result, or the masks themselves, that would be overwritten; nothing is
            scored then.
        DatasetError: if the dataset has no such list, or is none for the protocol.
    """
    folder = predictions.key.folder(results_root)
    before = previous_setup(folder)
    if before is not None and before.model.kind != "predictions":
        raise BenchError(f"{folder} holds what `bench run` measured; choose another --name")
    if predictions.place.resolve().is_relative_to(folder.resolve()):
        raise BenchError(
            f"{predictions.place} lies where the result goes, which takes the place of all that is "
            f"there; move the masks elsewhere, or choose another --name"
        )
    dataset, protocol = predictions.dataset, predictions.protocol
    check_ways(protocol, dataset)
    episodes = dataset.episodes(protocol.recipe, predictions.fold, predictions.shots)
    checksum = check(predictions, episodes, progress)
    setup = Setup(
        model=ModelRecord(
            name=predictions.name,
            title=predictions.name,
            kind="predictions",
            config={"predictions_sha256": checksum, **predictions.reading.as_config()},
            weights_digest=None,
            parameters=0,
            comparable=True,
            sees_test_classes=predictions.sees_test_classes,
        ),
        dataset=dataset_record(dataset, predictions.fold, predictions.shots),
        protocol=protocol_record(protocol),
        episodes=EpisodesRecord(
            recipe=protocol.recipe, digest=digest(episodes), count=len(episodes)
        ),
        fold=predictions.fold,
        shots=predictions.shots,
        device="cpu",
        dtype="fp32",
        batch_size=1,
        metrics=predictions.metrics,
    )
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with Journal(folder, setup, "fresh") as journal:
        for begin in range(0, len(episodes), _ROWS):
            tick = time.perf_counter()
            scored = list(_scored(predictions, episodes[begin : begin + _ROWS]))
            rows = [row for row, _ in scored]
            seconds = time.perf_counter() - tick
            keep(folder, {row.episode: line_of(row.episode, mask) for row, mask in scored}, "rle")
            journal.append(rows, seconds)
            progress.update("scoring", begin + len(rows), len(episodes))
        finish(folder)
        record = make_record(setup, journal, course_here(setup.device, started))
        journal.finish(record, [episode.query for episode in episodes])
    return record


def check(
    predictions: Predictions, episodes: Sequence[Episode], progress: Progress = SILENT
) -> str:
    """Look at every file before anything is scored; returns a sha256 over all of them.

    Raises:
        BenchError: naming every file that is missing, too much, unreadable or of another size, or
            all queries whose masks overlap where they must not.
    """
    place = predictions.place
    if place.is_file():
        problems, checksum = _check_table(predictions, episodes)
    elif place.is_dir():
        problems, checksum = _check_files(predictions, episodes, progress)
    else:
        raise BenchError(f"{place} is neither a folder nor a file")
    problems = problems or list(_overlapping(predictions, episodes))
    if problems:
        more = len(problems) - _NAMED
        listed = "\n".join(f"  {problem}" for problem in problems[:_NAMED])
        raise BenchError(
            f"{place} does not answer {predictions.key.dataset} {predictions.protocol.name} "
            f"fold {predictions.fold}, {predictions.shots}-shot ({len(episodes)} episodes); "
            f"nothing was scored:\n{listed}" + (f"\n  and {more} more" if more > 0 else "")
        )
    return checksum


def _check_table(predictions: Predictions, episodes: Sequence[Episode]) -> tuple[list[str], str]:
    """What is wrong with a table of run lengths, and its sha256."""
    there, wanted = read_masks(predictions.place), {own.index: own for own in episodes}
    problems = [f"episode {number} is missing" for number in sorted(wanted.keys() - there.keys())]
    problems += [f"{number} is no episode" for number in sorted(there.keys() - wanted.keys())]
    for number in sorted(wanted.keys() & there.keys()):
        name = f"episode {number}"
        problems += predictions.wrong_size(name, tuple(there[number]["size"]), wanted[number])
        try:
            mask_of(there[number])
        except BenchError as error:
            problems.append(f"{name}: {error}")
    return problems, hashlib.sha256(predictions.place.read_bytes()).hexdigest()


def _check_files(
    predictions: Predictions, episodes: Sequence[Episode], progress: Progress
) -> tuple[list[str], str]:
    """What is wrong with a folder of PNGs, and a sha256 over all of them."""
    wanted = {file_name(episode.index): episode for episode in episodes}
    there = predictions.files()
    problems = [f"{name} is missing" for name in sorted(wanted.keys() - there.keys())]
    for name, paths in sorted(there.items()):
        if name not in wanted:
            problems += [f"{path.name} belongs to no episode" for path in paths]
        elif len(paths) > 1:
            problems.append(f"{' and '.join(path.name for path in paths)} are of one episode")
    checksum, values = hashlib.sha256(), Values()
    for done, (name, episode) in enumerate(wanted.items(), start=1):
        if name in there:
            problems += _wrong(predictions, there[name][0], episode, values)
            checksum.update(there[name][0].read_bytes())
        progress.update("checking", done, len(wanted))
    return problems + values.doubts(predictions.reading), checksum.hexdigest()


def _wrong(predictions: Predictions, path: Path, episode: Episode, values: Values) -> list[str]:
    """What is wrong with one file; what it holds enters `values`."""
    try:
        mask = predictions.reading.values(path)
    except BenchError as error:
        return [str(error)]
    values.add(path.name, mask)
    return predictions.wrong_size(path.name, mask.shape, episode)


def _overlapping(predictions: Predictions, episodes: Sequence[Episode]) -> Iterator[str]:
    """The queries of an N-way list of which masks of several classes claim the same pixel."""
    ways = predictions.protocol.ways
    if ways == 1:
        return
    read = _reader(predictions)
    for begin in range(0, len(episodes), ways):
        group = episodes[begin : begin + ways]
        target = predictions.protocol.target(predictions.dataset.size(group[0].query))
        masks = [on_grid(read(own.index).astype(np.uint8), target) for own in group]
        shared = int((np.sum(masks, axis=0) > 1).sum())
        if shared:
            yield (
                f"episodes {group[0].index} to {group[-1].index} ask for {ways} classes of "
                f"{group[0].query}, and their masks share {shared} pixels"
            )


def _size(size: tuple[int, ...]) -> str:
    return f"{size[1]}×{size[0]}"


def _scored(predictions: Predictions, episodes: Sequence[Episode]) -> Iterator[tuple[Row, Mask]]:
    """Each episode's counts, and the mask that they are of."""
    read = _reader(predictions)
    for episode in episodes:
        tick = time.perf_counter()
        truth = truth_of(episode, predictions.dataset, predictions.protocol)
        mask = on_grid(read(episode.index).astype(np.uint8), truth.shape) == 1
        areas, further = count(mask, truth), count_further(mask, truth, predictions.metrics)
        milliseconds = 1000 * (time.perf_counter() - tick)
        yield Row(episode.index, episode.class_index, areas, milliseconds, further), mask


def _reader(predictions: Predictions) -> Callable[[int], Mask]:
    """A function that reads the mask of an episode."""
    if predictions.place.is_file():
        table = read_masks(predictions.place)
        return lambda number: mask_of(table[number])
    there, reading = predictions.files(), predictions.reading
    return lambda number: reading.foreground(reading.values(there[file_name(number)][0]))


def truth_of(episode: Episode, dataset: PreparedDataset, protocol: Protocol) -> NDArray[np.uint8]:
    """What an episode's mask is counted against: H×W on the protocol's grid, 255 to be ignored."""
    target = protocol.target(dataset.size(episode.query))
    return on_grid(dataset.mask(episode.query, episode.class_index), target)


def on_grid(mask: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """By nearest neighbour, exactly as ground truths are brought to the protocol's grid."""
    array: NDArray[np.uint8] = nearest(torch.from_numpy(mask), size).numpy()
    return array
