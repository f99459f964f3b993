"""One run of the matrix, from its opening to its record, whoever does the work."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.config.matrix import Cell
from benchmarks.config.schema import BenchConfig
from benchmarks.engines.messages import Loaded, Measure, Measured
from benchmarks.engines.sitting import Sitting
from benchmarks.errors import BenchError
from benchmarks.evaluation.counting import Wanted
from benchmarks.evaluation.plan import Batch, make_plan
from benchmarks.results import environment, kept_masks
from benchmarks.results.agreement import check_same
from benchmarks.results.describe import dataset_record, make_record, protocol_record
from benchmarks.results.journal import Journal, Resume, is_complete
from benchmarks.results.records import Course, RunRecord, Setup, ShardRecord, write_record
from benchmarks.results.shards import SHARD_FILE, Shard, read_found
from benchmarks.results.store import RunKey, Unfinished, previous_setup, read_result

GIVE_UP = 10  # episodes that may fail in one sitting before the rest is not tried

Status = Literal["measured", "already complete", "unfinished", "shard measured", "left out"]


@dataclass(frozen=True)
class Outcome:
    """What became of one run.

    Attributes:
        key: its place.
        status: in a word.
        record: its numbers; None where there are none yet.
        unfinished: how far it came, where episodes failed.
    """

    key: RunKey
    status: Status
    record: RunRecord | None
    unfinished: Unfinished | None = None


class Run:
    """One run: where its result goes, what is left of it, and the rows as they come in.

    Args:
        number: which run of the matrix it is.
        config: the matrix.
        model: the name under which its results are kept.
        cell: dataset, protocol, fold, shots and episodes.
        shard: measure this part alone.
    """

    def __init__(
        self, number: int, config: BenchConfig, model: str, cell: Cell, shard: Shard | None = None
    ) -> None:
        self.number = number
        self.cell = cell
        self.key = cell.key(model)
        self._config = config
        self._shard = shard
        self._home = self.key.folder(config.results_root)
        self._folder = self._home if shard is None else shard.folder(self._home)
        self._journal: Journal | None = None
        self._code = environment.program()  # at the start, as in `Sitting`
        self.remarks: list[str] = []

    @property
    def folder(self) -> Path:
        """Where its rows go."""
        return self._folder

    @property
    def done(self) -> int:
        """Episodes that are measured."""
        return len(self._open.rows)

    @property
    def gave_up(self) -> bool:
        """Whether so many episodes failed that it is no matter of an episode."""
        return self._sitting.failures >= GIVE_UP

    @property
    def _open(self) -> Journal:
        if self._journal is None:
            raise RuntimeError(f"{self.key} is not open")
        return self._journal

    def finished_before(self, loaded: Loaded, resume: Resume) -> Outcome | None:
        """What the results store holds of it already, if that is all; or that it is not to be run.

        Raises:
            BenchError: if it was measured with another setup (the difference is named), or a file
                of the result is damaged.
        """
        dataset, fold = self.cell.dataset.name, self.cell.fold
        model = loaded.records[dataset]
        if model.trained_fold not in (None, fold):
            by = "; ".join(entry.source for entry in model.trained_on or ())
            self.remarks.append(
                f"{self.key} is left out: the weights were trained on the base classes of fold "
                f"{model.trained_fold} ({by}), which are novel classes here; with a checkpoint of "
                "each fold, write {fold} in its path"
            )
            return Outcome(self.key, "left out", None)
        found = before = None
        if resume == "resume":
            found = self._found()
            before = previous_setup(self._folder) if found is None else found.setup
        self._setup = self._make_setup(loaded, before)
        if loaded.device == "cpu" and self._config.dtype == "fp16":
            self.remarks.append(
                f"{self.key}: fp16 on a processor takes up to twenty times as long as --dtype fp32"
            )
        self._loaded = loaded
        if before is None:
            return None
        kept = kept_masks.kept_kind(self._folder)
        if self._config.save_predictions and kept is None:
            self.remarks.append(
                f"{self.key}: no masks are kept of what is measured; --fresh keeps all of them"
            )
        if found is None:
            return None
        lacking = ",".join(sorted({*self._config.metrics} - {*before.metrics}))
        if lacking and isinstance(found, RunRecord) and kept is not None:
            raise BenchError(
                f"{self.key} was measured without {lacking}, and kept its masks; count it with: "
                f"bench score {self._folder} --metrics {lacking}"
            )
        begun, now = (setup.model_dump(mode="json") for setup in (before, self._setup))
        if before.model.trained_on is None:  # from before it was recorded
            begun["model"]["trained_on"] = now["model"]["trained_on"]
        check_same(self._folder, begun, now)
        record = found if isinstance(found, RunRecord) else None
        return Outcome(self.key, "already complete", record)

    def _found(self) -> RunRecord | ShardRecord | None:
        """Its result, or that of its shard, if it is there and whole."""
        try:
            if self._shard is not None:
                shard = read_found(self._folder)
                return None if shard is None else shard.record
            if is_complete(self._folder):
                return read_result(self._config.results_root, self.key).record
        except BenchError as error:
            raise BenchError(f"{error}; measure it again with --fresh") from None
        return None

    def _make_setup(self, loaded: Loaded, before: Setup | None) -> Setup:
        size = self._config.batch_size
        if size == "auto":
            begun = 0 if before is None else before.batch_size
            size = begun if begun > 0 else loaded.batch_size
        metrics = self._config.metrics
        if before is not None and set(metrics) < set(before.metrics):
            metrics = before.metrics  # what was counted beside what is wanted is no harm
        cell = self.cell
        return Setup(
            model=loaded.records[cell.dataset.name],
            dataset=dataset_record(
                cell.dataset, cell.fold, cell.shots, reads_pixels=loaded.reads_pixels
            ),
            protocol=protocol_record(cell.protocol, cell.record.limit),
            episodes=cell.record,
            fold=cell.fold,
            shots=cell.shots,
            device=loaded.device,
            dtype=self._config.dtype,
            batch_size=size,
            metrics=metrics,
        )

    def open(self, resume: Resume) -> Sequence[Batch]:
        """Open its journal and tell which batches are left.

        Raises:
            BenchError: if another process measures it, or it was begun with another setup.
        """
        self._sitting = Sitting()
        grids, dataset = self._loaded.grids[self.cell.dataset.name], self.cell.dataset
        plan = make_plan(
            self.cell.episodes,
            lambda image: grids[dataset.size(image)],
            self._setup.batch_size,
            self.cell.protocol.ways,
        )
        batches = plan.batches if self._shard is None else self._shard.part(plan.batches)
        self._episodes = {e.index: e for batch in batches for e in batch.episodes}
        journal = Journal(self._folder, self._setup, resume)
        self._journal = journal.__enter__()
        if journal.hardware and self._loaded.hardware not in journal.hardware:
            self.remarks.append(
                f"{self.key} was begun on {' + '.join(journal.hardware)} and goes on on "
                f"{self._loaded.hardware}, whose last digits may differ"
            )
        # Of all episodes or of none, and in one way.
        self._keep = (
            kept_masks.kept_kind(self._folder)
            if journal.rows
            else self._config.save_predictions or None
        )
        (self._folder / SHARD_FILE).unlink(missing_ok=True)
        done = {row.episode for row in journal.rows}
        self._left = {
            batch.index: frozenset(e.index for e in batch.episodes) - done for batch in batches
        }
        return [batch for batch in batches if self._left[batch.index]]

    @property
    def total(self) -> int:
        """Episodes that it has, or its shard."""
        return len(self._episodes)

    def task(self, attempt: int, batch: Batch, ahead: Sequence[Batch] | None) -> Measure:
        """What a worker is told to do with a batch."""
        return Measure(
            attempt=attempt,
            dataset=self.cell.dataset.name,
            protocol=self.cell.protocol.name,
            seed=self.cell.record.digest,
            batch=batch,
            wanted=self._left[batch.index],
            ahead=None if ahead is None else tuple(ahead),
            keep=Wanted(self._keep, self._setup.metrics),
        )

    def take(self, worker: int, hardware: str, measured: Measured) -> int:
        """Keep what a worker has measured; returns the number of episodes tried.

        Raises:
            BenchError: if these are not the episodes that it was given.
        """
        journal = self._open
        tried = [row.episode for row in measured.rows] + list(measured.failed)
        if sorted(tried) != sorted(self._left[measured.batch]):
            raise BenchError(
                f"{self.key}: a worker answered batch {measured.batch} with episodes {tried}; "
                f"its code is not that of the runner"
            )
        if measured.masks and self._keep:
            kept_masks.keep(self._folder, measured.masks, self._keep)
        if measured.rows:
            journal.met(hardware)
            journal.append(measured.rows, measured.seconds)
        for number, reason in measured.failed.items():
            journal.fail(number, reason)
        self._sitting.take(worker, measured)
        return len(tried)

    def close(self) -> None:
        """Let go of the journal; what is in it stays."""
        if self._journal is not None:
            self._journal.__exit__()
            self._journal = None

    def finish(self, engine: str) -> Outcome:
        """Make the result whole, or say how far it came.

        Raises:
            BenchError: if the rows are not those of its episodes.
        """
        journal = self._open
        try:
            if journal.failed:
                unfinished = Unfinished(self.key, self.total, self.done, dict(journal.failed))
                return Outcome(self.key, "unfinished", None, unfinished)
            kept_masks.finish(self._folder)
            if self._shard is not None:
                self._finish_shard(self._shard, journal, engine)
                return Outcome(self.key, "shard measured", None)
            record = make_record(self._setup, journal, self._course(journal, engine))
            journal.finish(record, [episode.query for episode in self.cell.episodes])
            return Outcome(self.key, "measured", record)
        finally:
            self.close()

    def _finish_shard(self, shard: Shard, journal: Journal, engine: str) -> None:
        if sorted(row.episode for row in journal.rows) != sorted(self._episodes):
            raise BenchError(
                f"{self._folder}: {self.done} rows do not make the {self.total} episodes of the "
                f"shard; measure it again with --fresh"
            )
        record = ShardRecord(
            setup=self._setup,
            shard=shard.index,
            shards=shard.count,
            queries={number: self._episodes[number].query for number in sorted(self._episodes)},
            sittings=journal.sittings,
            code=self._code,
            course=self._course(journal, engine),
        )
        write_record(self._folder / SHARD_FILE, record)

    def _course(self, journal: Journal, engine: str) -> Course:
        hardware = sorted(journal.hardware) or [self._loaded.hardware]
        return self._sitting.course(self._setup.device, " + ".join(hardware), engine)

    def halve(self) -> None:
        """Begin anew with half the batch: one run has one, or its bits would depend on memory.

        Raises:
            BenchError: if the user has fixed the batch size, or it is one already.
        """
        self.close()
        size = self._setup.batch_size
        if self._config.batch_size != "auto" or size == 1:
            raise BenchError(
                f"{self.key}: out of memory with batches of {size}; use "
                f"{'a smaller --batch-size, ' if size > 1 else ''}--dtype bf16, or a smaller "
                f"--cache-size"
            )
        self._setup = self._setup.model_copy(update={"batch_size": size // 2})
        self.remarks.append(f"{self.key}: out of memory, again with batches of {size // 2}")
