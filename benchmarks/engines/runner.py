"""Runs the whole matrix: every model on every dataset, fold and shot, by whatever engine.

The runner alone knows the results store. It plans the batches, deals them out, and keeps what comes
back in each run's journal; so a killed run goes on with any number of workers on any engine.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.config.matrix import Cell, cells
from benchmarks.config.schema import BenchConfig, ModelConfig
from benchmarks.engines import Executor, make_executor
from benchmarks.engines.leases import Lease, LoadModel, OpenRun
from benchmarks.engines.listener import Listener
from benchmarks.engines.messages import Done, Event, Load, Loaded, Lost, Measured, NotLoaded
from benchmarks.engines.run import Outcome, Run
from benchmarks.engines.scheduler import Schedule
from benchmarks.errors import BenchError
from benchmarks.results.journal import Resume
from benchmarks.results.shards import Shard

_PATIENCE = 1.0  # seconds after which idle workers are asked again
_QUICK = 0.2  # seconds: where batches take less, a worker gets the next before it is through


class LeftOut(BenchError):
    """What the user has to mend before the rest of a matrix can be measured.

    Args:
        reasons: the names of models and runs that were left out, and what to mend.
        outcomes: of all runs, those left out among them.
    """

    def __init__(
        self, reasons: Sequence[tuple[str, Exception]], outcomes: Sequence[Outcome]
    ) -> None:
        each = dict.fromkeys(f"{name}: {error}" for name, error in reasons)
        alone = str(reasons[0][1])
        super().__init__(alone if len(each) == 1 else "\n  ".join(("left out:", *each)))
        self.outcomes = list(outcomes)


def run_matrix(
    config: BenchConfig,
    *,
    resume: Resume = "resume",
    listener: Listener,
    shard: Shard | None = None,
    executor: Executor | None = None,
) -> list[Outcome]:
    """Run everything in `config` that the results store does not hold yet.

    Args:
        config: the matrix.
        resume: "resume" skips finished runs and goes on with begun ones; "fresh" measures again.
        listener: told how it comes along.
        shard: measure this part of every run alone.
        executor: who does the work; whom the configuration names if None.

    Returns:
        One outcome per (model, dataset, fold, shots), in that order.

    Raises:
        LeftOut: after all other runs, what the user has to mend of models that cannot be loaded,
            and of runs that do not fit what was measured of them, or memory.
        BenchError, DatasetError, ModelError: what the user has to mend for any run.
    """
    every = list(cells(config))
    loads = list(_loads(config, every))
    numbers = iter(range(len(every) * len(config.models)))
    runs = [
        [Run(next(numbers), config, model.name, cell, shard) for cell in own]
        for model, own in loads
    ]
    listener.matrix_started(sum(map(len, runs)), sum(len(r.cell.episodes) for o in runs for r in o))
    executor = executor or make_executor(config)
    try:
        return _Dispatcher([model for model, _ in loads], runs, executor, resume, listener).work()
    finally:
        executor.close()


def _loads(config: BenchConfig, every: list[Cell]) -> Iterator[tuple[ModelConfig, list[Cell]]]:
    """Each model to load with the cells it runs on: once, or once a fold.

    A model trained on base classes has a checkpoint for every fold: its options say where with
    `{fold}`, as in `weights: hsnet/fold{fold}/best`.
    """
    for wanted in config.models:
        if "{fold}" not in f"{list(wanted.options.values())} {wanted.trained_on}":
            yield wanted, every
            continue
        for fold in sorted({cell.fold for cell in every}):
            given = {"options": dict(wanted.options), "trained_on": wanted.trained_on}
            own = wanted.model_copy(update=_filled(given, fold))
            yield own, [cell for cell in every if cell.fold == fold]


def _filled(value: Any, fold: int) -> Any:
    """A value with a fold in the place of `{fold}`, however deep that stands."""
    if isinstance(value, str):
        return value.replace("{fold}", str(fold))
    if isinstance(value, dict):
        return {key: _filled(own, fold) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_filled(own, fold) for own in value)
    return value


class _Dispatcher:
    """Deals out the work of a matrix and takes in what comes of it."""

    def __init__(
        self,
        models: Sequence[ModelConfig],
        runs: Sequence[Sequence[Run]],
        executor: Executor,
        resume: Resume,
        listener: Listener,
    ) -> None:
        self._models = models
        self._runs = {run.number: run for own in runs for run in own}
        self._load_of = {run.number: load for load, own in enumerate(runs) for run in own}
        self._executor = executor
        self._resume = resume
        self._listener = listener
        self._schedule = Schedule(
            [[(run.number, len(run.cell.episodes)) for run in own] for own in runs], executor.size
        )
        self._loaded: dict[int, Loaded] = {}
        self._reasons: list[tuple[str, Exception]] = []  # why models and runs are left out
        self._hardware: dict[int, str] = {}
        self._numbers = itertools.count()
        self._attempts: dict[int, int] = {}  # the run of each attempt that still counts
        self._attempt_of: dict[int, int] = {}
        self._outcomes: dict[int, Outcome] = {}

    def work(self) -> list[Outcome]:
        """Everything, to the end; then why anything was left out is raised."""
        try:
            while True:
                busy = [self._busy(worker) for worker in range(self._executor.size)]
                if self._schedule.over:
                    break
                for event in self._executor.wait(None if all(busy) else _PATIENCE):
                    self._heed(event)
        finally:
            for run in self._runs.values():
                run.close()
        outcomes = [self._outcomes[number] for number in sorted(self._outcomes)]
        if self._reasons:
            raise LeftOut(self._reasons, outcomes) from self._reasons[0][1]
        return outcomes

    def _busy(self, worker: int) -> bool:
        """Give a worker what it can do; whether it has anything."""
        schedule = self._schedule
        while schedule.holds(worker) < self._depth(worker):
            task = schedule.next(worker, self._executor.now())
            match task:
                case None:
                    break
                case OpenRun():
                    self._open(self._runs[task.run])
                case LoadModel():
                    self._executor.send(worker, Load(task.load, self._models[task.load]))
                case Lease():
                    attempt = self._attempt_of[task.run]
                    run = self._runs[task.run]
                    self._executor.send(worker, run.task(attempt, task.batch, task.ahead))
        return schedule.holds(worker) > 0

    def _depth(self, worker: int) -> int:
        """A batch that is held can be given to nobody else, so only short ones are."""
        batch = self._schedule.seconds_held(worker)
        return self._executor.depth if batch is not None and batch < _QUICK else 1

    def _heed(self, event: Event) -> None:
        if isinstance(event, Lost):
            self._listener.note(
                f"worker {event.worker + 1} of {self._executor.size} is lost ({event.reason}); "
                f"its work goes to others"
            )
            self._schedule.lost(event.worker)
            self._executor.replace(event.worker)
        else:
            self._take(event)

    def _take(self, done: Done) -> None:
        worker, answer = done.worker, done.answer
        if isinstance(answer, Loaded):
            self._check(answer)
            self._hardware[worker] = answer.hardware
            self._schedule.loaded(worker, answer.seconds)
            self._check_images(answer)
            return
        if isinstance(answer, NotLoaded):
            self._schedule.loaded(worker, 0.0)
            self._not_loaded(answer)
            return
        seconds = answer.seconds if isinstance(answer, Measured) else 0.0
        if self._schedule.measured(worker, seconds) is None or answer.attempt not in self._attempts:
            return
        run = self._runs[self._attempts[answer.attempt]]
        if not isinstance(answer, Measured):
            self._begin_anew(run)
            return
        self._listener.advanced(run.take(worker, self._hardware[worker], answer))
        if run.gave_up:
            self._schedule.withdraw(run.number)
        if self._schedule.is_over(run.number):
            self._finish(run)

    def _not_loaded(self, answer: NotLoaded) -> None:
        """Leave a model out.

        Raises:
            BenchError, DatasetError, ModelError: the answer's, if another worker could load it.
        """
        if answer.number in self._loaded:
            raise answer.error
        runs = [run for run in self._runs.values() if self._load_of[run.number] == answer.number]
        if all(run.number in self._outcomes for run in runs):  # another worker said so before
            return
        self._leave_out(self._models[answer.number].name, runs, answer.error)

    def _leave_out(self, name: str, runs: Sequence[Run], error: Exception) -> None:
        """Take runs off the schedule, so that what is wrong with them costs the others nothing."""
        self._reasons.append((name, error))
        for run in runs:
            self._schedule.opened(run.number, ())
        if self._schedule.over and not self._outcomes:  # nothing else is told: the error says all
            self._outcomes = {run.number: Outcome(run.key, "left out", None) for run in runs}
            return
        if not self._schedule.over:
            self._listener.note(f"{name} is left out: {error}")
        for run in runs:
            self._end_at_once(run, Outcome(run.key, "left out", None))

    def _check(self, loaded: Loaded) -> None:
        """All workers must have loaded the same model and see the same data.

        Raises:
            BenchError: saying what differs.
        """
        first = self._loaded.setdefault(loaded.number, loaded)
        for run in self._runs.values():
            dataset = run.cell.dataset
            found = loaded.digests[dataset.name]
            if found != dataset.digest:
                raise BenchError(
                    f"a worker finds dataset {dataset.name!r} with digest {found}, here it has "
                    f"{dataset.digest}; prepare it alike for all workers"
                )
        for what in ("records", "device", "batch_size", "reads_pixels", "grids"):
            if getattr(first, what) != getattr(loaded, what):
                raise BenchError(
                    f"workers differ in what they loaded for model "
                    f"{self._models[loaded.number].name!r} ({what}); give all the same weights, "
                    f"packages and kind of device"
                )

    def _check_images(self, loaded: Loaded) -> None:
        """Leave a model that reads pixels out on datasets that have none."""
        blind = [
            run
            for run in self._runs.values()
            if loaded.reads_pixels
            and self._load_of[run.number] == loaded.number
            and not run.cell.dataset.has_images
            and run.number not in self._outcomes
        ]
        name = self._models[loaded.number].name
        for dataset in dict.fromkeys(run.cell.dataset.name for run in blind):
            error = BenchError(
                f"{name} reads pixels, but dataset {dataset!r} was prepared with --no-images: "
                f"prepare it with its images, or run models that read none, as floors"
            )
            own = [run for run in blind if run.cell.dataset.name == dataset]
            self._leave_out(name, own, error)

    def _open(self, run: Run) -> None:
        loaded = self._loaded[self._load_of[run.number]]
        try:
            before = run.finished_before(loaded, self._resume)
            self._say(run)
            if before is None:
                self._attempt(run, self._resume)
        except BenchError as error:
            self._leave_out(str(run.key), [run], error)
            return
        if before is not None:
            self._schedule.opened(run.number, ())
            self._end_at_once(run, before)

    def _attempt(self, run: Run, resume: Resume) -> None:
        batches = run.open(resume)
        self._say(run)
        attempt = next(self._numbers)
        self._attempts = {a: r for a, r in self._attempts.items() if r != run.number}
        self._attempts[attempt] = run.number
        self._attempt_of[run.number] = attempt
        self._schedule.opened(run.number, batches)
        every = len(run.cell.episodes)
        self._listener.run_started(run.key, every, every - (run.total - run.done))
        if not batches:
            self._finish(run)

    def _begin_anew(self, run: Run) -> None:
        try:
            run.halve()
        except BenchError as error:
            self._leave_out(str(run.key), [run], error)
            return
        self._attempt(run, "fresh")

    def _finish(self, run: Run) -> None:
        self._end(run, run.finish(self._executor.name))

    def _end_at_once(self, run: Run, outcome: Outcome) -> None:
        every = len(run.cell.episodes)
        self._listener.run_started(run.key, every, every)
        self._end(run, outcome)

    def _end(self, run: Run, outcome: Outcome) -> None:
        self._outcomes[run.number] = outcome
        self._listener.run_finished(outcome)

    def _say(self, run: Run) -> None:
        for remark in run.remarks:
            self._listener.note(remark)
        run.remarks.clear()
