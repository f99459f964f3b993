"""The order of work: nothing is lost, nothing counts twice, and what belongs together stays so."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.engines.leases import Lease, LoadModel, OpenRun
from benchmarks.engines.scheduler import Schedule
from benchmarks.errors import BenchError
from benchmarks.evaluation.plan import cut_near
from tests.benchmarks.engines.plans import batches
from tests.perf.scale import Costs, Lists, drawn, simulate
from tests.perf.scale_costs import HOST


class Site:
    """Workers who answer in any order that a generator of chance says; some are lost."""

    def __init__(self, loads: Sequence[Sequence[int]], workers: int, seed: int = 0) -> None:
        numbers = iter(range(sum(map(len, loads))))
        self.plans = {}
        numbered = []
        for own in loads:
            numbered.append([(number, size) for size in own for number in [next(numbers)]])
            self.plans |= {n: batches([i // 4 for i in range(size)]) for n, size in numbered[-1]}
        self.schedule = Schedule(numbered, workers)
        self.workers = workers
        self.queues: list[list[LoadModel | Lease]] = [[] for _ in range(workers)]
        self.counted: list[tuple[int, int]] = []
        self.loads: list[tuple[int, int]] = []
        self.chance = random.Random(seed)
        self.now = 0.0

    def fill(self, depth: int) -> None:
        for worker in range(self.workers):
            while self.schedule.holds(worker) < depth:
                task = self.schedule.next(worker, self.now)
                if task is None:
                    break
                if isinstance(task, OpenRun):
                    self.schedule.opened(task.run, self.plans[task.run])
                    continue
                if isinstance(task, LoadModel):
                    self.loads.append((worker, task.load))
                self.queues[worker].append(task)

    def answer(self, worker: int) -> None:
        task = self.queues[worker].pop(0)
        if isinstance(task, LoadModel):
            self.schedule.loaded(worker, 1.0)
            return
        run = self.schedule.measured(worker, 1.0)
        if run is not None:
            self.counted.append((run, task.batch.index))

    def work(self, depth: int = 1, losses: int = 0) -> None:
        """To the end; fails if nothing happens any more."""
        for _ in range(10_000):
            self.now += 1.0
            self.fill(depth)
            if self.schedule.over:
                return
            busy = [worker for worker in range(self.workers) if self.queues[worker]]
            assert busy, "work is left and nobody has any"
            worker = self.chance.choice(busy)
            if losses and self.chance.random() < 0.1:
                losses -= 1
                self.queues[worker].clear()
                self.schedule.lost(worker)
            else:
                self.answer(worker)
        pytest.fail("no end")


@given(
    loads=st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=3), min_size=1, max_size=4),
    workers=st.integers(1, 6),
    depth=st.integers(1, 2),
    losses=st.integers(0, 2),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=150, deadline=None)
def test_every_batch_counts_once_whatever_happens(
    loads: list[list[int]], workers: int, depth: int, losses: int, seed: int
) -> None:
    site = Site(loads, workers, seed)
    site.work(depth, losses)
    wanted = [(run, batch.index) for run, plan in site.plans.items() for batch in plan]
    assert sorted(site.counted) == sorted(wanted)


def test_one_worker_goes_through_the_plan_in_order() -> None:
    site = Site([[5, 3], [4]], workers=1)
    site.work()
    assert site.counted == [(r, b) for r, size in ((0, 5), (1, 3), (2, 4)) for b in range(size)]
    assert site.loads == [(0, 0), (0, 1)]


def test_models_are_spread_before_runs_are_shared() -> None:
    site = Site([[40], [40], [40]], workers=3)
    site.work()
    assert site.loads[:3] == [(0, 0), (1, 1), (2, 2)]


def test_a_model_is_loaded_once_by_each_worker_that_runs_it() -> None:
    site = Site([[40, 40, 40]], workers=2)
    site.work()
    assert sorted(site.loads) == [(0, 0), (1, 0)]


def test_a_worker_without_work_takes_the_back_half_at_a_change_of_class() -> None:
    site = Site([[22]], workers=2)
    site.fill(1)
    site.answer(0)
    site.fill(1)
    site.answer(1)
    site.fill(1)
    lease = site.queues[1][0]
    assert isinstance(lease, Lease)
    # Of batches 1 to 21 the middle is 11; class 3 begins with 12.
    assert lease.batch.index == 12
    assert lease.ahead is not None
    assert [batch.index for batch in lease.ahead] == list(range(12, 22))


def test_a_cut_stays_where_no_class_changes_nearby() -> None:
    plan = batches([0] * 10 + [1] * 2)
    assert cut_near(plan, 5, 1) == 5
    assert cut_near(plan, 9, 1) == 10
    assert cut_near(plan, 5, 5) == 10


def slow_site() -> Site:
    """Two workers; the second holds the last batch."""
    site = Site([[2]], workers=2)
    site.fill(1)
    for worker in (0, 1):
        site.answer(worker)
        site.fill(1)
    site.answer(0)
    site.fill(1)
    return site


def test_the_batch_of_a_slow_worker_is_given_to_an_idle_one() -> None:
    site = slow_site()
    assert site.queues[0] == []
    site.now += 60
    site.fill(1)
    mine, others = site.queues[0][0], site.queues[1][0]
    assert isinstance(mine, Lease) and isinstance(others, Lease)
    assert mine.batch is others.batch
    site.answer(0)
    assert site.schedule.over
    site.answer(1)
    assert len(site.counted) == 2


def test_a_slow_batch_is_given_to_one_other_worker() -> None:
    site = Site([[1]], workers=4)
    site.fill(1)
    for worker in range(4):
        site.answer(worker)
    site.fill(1)
    assert [len(queue) for queue in site.queues] == [1, 0, 0, 0]
    site.now += 10  # nobody knows yet how long such a batch takes
    site.fill(1)
    assert [len(queue) for queue in site.queues] == [1, 0, 0, 0]
    site.now += 60
    site.fill(1)
    assert [len(queue) for queue in site.queues] == [1, 1, 0, 0]


def test_work_of_a_lost_worker_goes_to_one_that_has_another_model() -> None:
    site = Site([[1], [30]], workers=2)
    site.fill(1)
    site.answer(0)
    site.answer(1)
    site.fill(1)
    site.queues[1].clear()
    site.schedule.lost(1)
    site.answer(0)
    site.fill(1)
    assert site.queues[0] == [LoadModel(1)]


def test_a_task_that_costs_three_workers_is_named() -> None:
    site = Site([[6]], workers=1)
    site.fill(1)
    site.answer(0)
    with pytest.raises(BenchError, match=r"lost 3 times over episodes 0;.*--workers 1"):
        for _ in range(3):
            site.fill(1)
            if isinstance(site.queues[0][0], LoadModel):
                site.answer(0)
                site.fill(1)
            site.queues[0].clear()
            site.schedule.lost(0)


def lose(site: Site, worker: int) -> None:
    site.queues[worker].clear()
    site.schedule.lost(worker)


def test_a_node_that_goes_with_all_its_workers_is_no_fault_of_the_model() -> None:
    site = Site([[40]], workers=8)
    site.fill(1)
    assert all(queue == [LoadModel(0)] for queue in site.queues)
    for worker in range(6):
        lose(site, worker)
    site.work()
    assert len(site.counted) == 40


def test_losses_over_a_model_are_forgotten_when_it_is_loaded() -> None:
    site = Site([[40]], workers=1)
    for _ in range(5):
        site.fill(1)
        lose(site, 0)
        site.fill(1)
        assert site.queues[0] == [LoadModel(0)]
        for _ in range(2):
            site.answer(0)
            site.fill(1)
        lose(site, 0)
    site.work()
    assert len(site.counted) == 40


def test_a_model_that_nobody_can_load_ends_the_run() -> None:
    site = Site([[40]], workers=4)
    for _ in range(2):
        site.fill(1)
        for worker in range(4):
            lose(site, worker)
    site.fill(1)
    with pytest.raises(BenchError, match="lost 3 times over loading a model"):
        lose(site, 0)


def test_what_is_withdrawn_is_given_to_nobody() -> None:
    site = Site([[6]], workers=1)
    site.fill(1)
    site.answer(0)
    site.fill(1)
    site.schedule.withdraw(0)
    assert site.schedule.over
    site.answer(0)
    assert site.counted == []
    assert site.schedule.next(0, site.now) is None


def test_eight_workers_take_little_more_than_an_eighth_of_the_time() -> None:
    """With costs for a clock; what is shared is encoded twice, and models are loaded."""
    costs = Costs(HOST, "fp32")
    plans = {
        number: (model, 5, drawn(Lists(1, 1000, 5, 346), 5, seed=number))
        for number, model in enumerate(["persam-f", "matcher", "gf-sam"] * 2)
    }
    loads = [[0, 3], [1, 4], [2, 5]]
    one, eight = (simulate(plans, loads, workers, costs) for workers in (1, 8))
    assert one.loads == 3
    assert 8 * eight.wall / one.wall < 1.3
    assert eight.busy < 1.3 * one.busy
