"""Who does what next. Pure: no clock, no process, no file; engines and simulations share it.

A run's batches are one stretch, in the plan's order, so that episodes sharing supports stay
together. A worker goes through its stretch from the front; one that has nothing left takes the
back half of the longest, cut where the class changes if that is near. Models are spread over
workers first, because loading one twice costs more than a shared stretch saves.

A batch is no one's until its answer is in: what a lost worker held goes back, and what a slow one
holds is given to an idle one too. The first answer counts, and all would be equal.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.engines.leases import Lease, LoadModel, OpenRun
from benchmarks.errors import BenchError
from benchmarks.evaluation.plan import Batch, cut_near

_SLOW = 3.0  # times the usual duration after which a batch is given to another worker too
_SLOW_SECONDS = 2.0  # and so many seconds at least
_SLOW_FIRST = 60.0  # seconds, of a run none of whose batches is in yet
_NEAR = 8  # a cut may move by one in so many batches to fall between two classes
_STRIKES = 3  # times that workers may be lost over one task


@dataclass
class _Stretch:
    run: int
    batches: deque[Batch]
    begun: bool = False

    @property
    def episodes(self) -> int:
        return sum(len(batch.episodes) for batch in self.batches)


@dataclass
class _Run:
    load: int
    episodes: int
    left: dict[int, Batch] | None = None  # None before it is opened
    free: list[_Stretch] = field(default_factory=list)
    seconds: float = 0.0
    measured: int = 0

    @property
    def pace(self) -> float | None:
        """Seconds an episode."""
        return self.seconds / self.measured if self.measured else None


@dataclass
class _Worker:
    load: int | None = None
    stretch: _Stretch | None = None
    held: deque[tuple[LoadModel | Lease, float]] = field(default_factory=deque)


@dataclass
class _Strikes:
    count: int = 0
    spared: set[int] = field(default_factory=set)  # workers that were at the task at the last one


class Schedule:
    """The work of a matrix.

    Args:
        loads: for every model to load, its runs as (number, episodes), in order.
        workers: how many there are.
    """

    def __init__(self, loads: Sequence[Sequence[tuple[int, int]]], workers: int) -> None:
        self._runs = {
            run: _Run(load, episodes) for load, own in enumerate(loads) for run, episodes in own
        }
        self._order = [deque(run for run, _ in own) for own in loads]
        self._of_load = [[run for run, _ in own] for own in loads]
        self._unfinished = set(self._runs)
        self._load_seconds: dict[int, float] = {}
        self._workers = [_Worker() for _ in range(workers)]
        self._strikes: dict[LoadModel | tuple[int, int], _Strikes] = {}

    @property
    def over(self) -> bool:
        """Whether all batches of all runs are in."""
        return not self._unfinished

    def holds(self, worker: int) -> int:
        """How many tasks a worker has not answered yet."""
        return len(self._workers[worker].held)

    def seconds_held(self, worker: int) -> float | None:
        """How long a worker will be at the batches that it holds; None where that is not known."""
        total = 0.0
        for task, _ in self._workers[worker].held:
            pace = self._runs[task.run].pace if isinstance(task, Lease) else None
            if pace is None or not isinstance(task, Lease):
                return None
            total += pace * len(task.batch.episodes)
        return total

    def next(self, worker: int, now: float) -> LoadModel | OpenRun | Lease | None:
        """What a worker shall do next; None where there is nothing for it now.

        A `LoadModel` or `Lease` counts as given to the worker.

        Args:
            worker: its number.
            now: seconds; decides what is slow.
        """
        me = self._workers[worker]
        if me.held and isinstance(me.held[-1][0], LoadModel):
            return None
        if me.load is not None:
            found = self._lease(me, now) or self._due(me.load)
            if found is not None:
                return found
        load = self._untouched()
        if load is None:
            if me.held:
                return None
            if self._steal(me):
                return self._lease(me, now)
            load = self._worth_joining(me)
        if load is None:
            slow = self._rescue(me, now)
            if not isinstance(slow, int):
                return slow
            load = slow
        me.load, me.stretch = load, None
        task = LoadModel(load)
        me.held.append((task, now))
        return task

    def opened(self, run: int, batches: Iterable[Batch]) -> None:
        """A run has these batches to do, in the plan's order; what it had before is forgotten."""
        own = self._runs[run]
        self.withdraw(run)
        own.left = {batch.index: batch for batch in batches}
        if own.left:
            self._unfinished.add(run)
        own.free = [_Stretch(run, deque(own.left.values()))] if own.left else []
        own.episodes = sum(len(batch.episodes) for batch in own.left.values())
        own.seconds, own.measured = 0.0, 0
        if run in self._order[own.load]:
            self._order[own.load].remove(run)

    def withdraw(self, run: int) -> None:
        """What is left of a run is not wanted any more."""
        own = self._runs[run]
        own.left, own.free = {}, []
        self._unfinished.discard(run)
        for worker in self._workers:
            if worker.stretch is not None and worker.stretch.run == run:
                worker.stretch = None

    def loaded(self, worker: int, seconds: float) -> None:
        """A worker has loaded its model."""
        task = self._answered(worker)
        if isinstance(task, LoadModel):
            self._load_seconds[task.load] = seconds
            self._strikes.pop(task, None)

    def measured(self, worker: int, seconds: float) -> int | None:
        """A worker has answered its oldest lease.

        Returns:
            The run; None where the batch was answered before or is not wanted any more.
        """
        task = self._answered(worker)
        if not isinstance(task, Lease) or not self._wanted(task):
            return None
        own = self._runs[task.run]
        if own.left is not None:
            del own.left[task.batch.index]
        if not own.left:
            self._unfinished.discard(task.run)
        own.seconds += seconds
        own.measured += len(task.batch.episodes)
        return task.run

    def is_over(self, run: int) -> bool:
        """Whether all batches of a run are in."""
        return run not in self._unfinished

    def lost(self, worker: int) -> None:
        """A worker is gone: its work goes back, and another may come in its place.

        Raises:
            BenchError: if workers were lost too often over the task that it was at. Those that were
                at it together count once, for a node may go with all of its workers.
        """
        me = self._workers[worker]
        self._workers[worker] = _Worker()
        back: dict[int, deque[Batch]] = {}
        for task, _ in me.held:
            if isinstance(task, Lease) and self._wanted(task):
                back.setdefault(task.run, deque()).append(task.batch)
        if me.stretch is not None:
            back.setdefault(me.stretch.run, deque()).extend(me.stretch.batches)
        for run, batches in back.items():
            if batches:
                self._runs[run].free.append(_Stretch(run, batches))
        if me.held:
            self._strike(worker, me.held[0][0])

    def _strike(self, worker: int, task: LoadModel | Lease) -> None:
        strikes = self._strikes.setdefault(_name(task), _Strikes())
        if worker in strikes.spared:
            strikes.spared.remove(worker)
            return
        strikes.count += 1
        strikes.spared = {
            number
            for number, other in enumerate(self._workers)
            if other.held and _name(other.held[0][0]) == _name(task)
        }
        if strikes.count >= _STRIKES:
            what = (
                "loading a model"
                if isinstance(task, LoadModel)
                else f"episodes {', '.join(str(e.index) for e in task.batch.episodes)}"
            )
            raise BenchError(
                f"workers were lost {_STRIKES} times over {what}; if memory is short, use fewer "
                f"--workers, a smaller --batch-size or --cache-size; --workers 1 shows what happens"
            )

    def _answered(self, worker: int) -> LoadModel | Lease:
        return self._workers[worker].held.popleft()[0]

    def _wanted(self, lease: Lease) -> bool:
        left = self._runs[lease.run].left
        return left is not None and left.get(lease.batch.index) is lease.batch

    def _lease(self, me: _Worker, now: float) -> Lease | None:
        """The next batch of the worker's stretch, or of a free one of its model."""
        if me.stretch is None or not me.stretch.batches:
            runs = map(
                self._runs.__getitem__, self._of_load[me.load] if me.load is not None else ()
            )
            me.stretch = next((run.free.pop(0) for run in runs if run.free), None)
        stretch = me.stretch
        if stretch is None:
            return None
        ahead = None if stretch.begun else tuple(stretch.batches)
        stretch.begun = True
        lease = Lease(stretch.run, stretch.batches.popleft(), ahead)
        me.held.append((lease, now))
        return lease

    def _due(self, load: int) -> OpenRun | None:
        return OpenRun(self._order[load][0]) if self._order[load] else None

    def _untouched(self) -> int | None:
        """A model that no worker has loaded or is loading."""
        taken = {worker.load for worker in self._workers} | self._load_seconds.keys()
        return next(
            (load for load, own in enumerate(self._order) if own and load not in taken), None
        )

    def _steal(self, me: _Worker) -> bool:
        """Take the back half of the longest stretch of the worker's model."""
        rich = max(
            (
                other.stretch
                for other in self._workers
                if other.load == me.load and other.stretch is not None and other.stretch.batches
            ),
            key=lambda stretch: stretch.episodes,
            default=None,
        )
        if rich is None:
            return False
        batches = list(rich.batches)
        cut = cut_near(batches, len(batches) // 2, len(batches) // _NEAR)
        taken = [rich.batches.pop() for _ in range(len(rich.batches) - cut)]
        me.stretch = _Stretch(rich.run, deque(reversed(taken)))
        return True

    def _worth_joining(self, me: _Worker) -> int | None:
        """The model with most left for each worker that has it, if loading it pays."""
        best: tuple[bool, float, int] | None = None
        for load, own in enumerate(self._order):
            on_it = sum(worker.load == load for worker in self._workers)
            if load == me.load:
                continue
            known = load in self._load_seconds
            seconds, sure = self._remaining(load)
            if not own and not seconds:
                continue
            if on_it and known and sure and seconds / on_it <= self._load_seconds[load]:
                continue
            candidate = (not (known and sure), seconds / max(on_it, 1), -load)
            if best is None or candidate > best:
                best = candidate
        return None if best is None else -best[2]

    def _remaining(self, load: int) -> tuple[float, bool]:
        """Seconds of a model's batches that nobody works at, and whether the pace is known."""
        runs = [self._runs[run] for run in self._of_load[load]]
        paces = [run.pace for run in runs if run.pace is not None]
        usual = sum(paces) / len(paces) if paces else 1.0
        total = 0.0
        for run in runs:
            stretches = [stretch.episodes for stretch in run.free]
            total += sum(stretches if run.left is not None else [run.episodes]) * (
                run.pace or usual
            )
        for worker in self._workers:
            if worker.stretch is not None and worker.load == load:
                own = self._runs[worker.stretch.run]
                total += worker.stretch.episodes * (own.pace or usual)
        return total, bool(paces)

    def _rescue(self, me: _Worker, now: float) -> Lease | int | None:
        """A batch that another worker has been at for too long, or the model that it needs."""
        for other in self._workers:
            for task, since in other.held:
                if other is me or not isinstance(task, Lease) or not self._wanted(task):
                    continue
                own = self._runs[task.run]
                usual = own.pace and own.pace * len(task.batch.episodes)
                limit = _SLOW_FIRST if usual is None else max(_SLOW_SECONDS, _SLOW * usual)
                if now - since <= limit or self._workers_at(task) > 1:
                    continue
                if own.load != me.load:
                    return own.load
                lease = Lease(task.run, task.batch, (task.batch,))
                me.held.append((lease, now))
                return lease
        return None

    def _workers_at(self, lease: Lease) -> int:
        return sum(
            any(_name(task) == _name(lease) for task, _ in worker.held) for worker in self._workers
        )


def _name(task: LoadModel | Lease) -> LoadModel | tuple[int, int]:
    return task if isinstance(task, LoadModel) else (task.run, task.batch.index)
