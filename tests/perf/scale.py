"""The whole matrix on one H100, eight and a hundred: run `python -m tests.perf.scale`.

Prints the tables of `docs/scale.md`: what one episode costs, what the matrix costs by the planner's
counts, and how long the real scheduling code takes over it when the costs are its clock.
"""

import argparse
import heapq
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.engines.leases import Lease, LoadModel, OpenRun
from benchmarks.engines.scheduler import Schedule
from benchmarks.evaluation.plan import Plan, make_plan
from benchmarks.protocols.lists import drawn_lists
from datasets_prep.episodes.episode import Episode
from tests.leaderboards.synthetic import make_setup
from tests.perf.scale_costs import H100_TFLOPS, HOST, MODELS, USED, HostCost, ModelCost, measured

BATCH = 8
SHOTS = (1, 5, 10)
THREADS = 2  # that decode ahead, as `threads` has it
READ = 1.0  # GB of weights a second, from a disk to the GPU
IMPORTS = 8.0  # seconds until a model of some size stands, beside its weights
CACHE = 8.6  # GB of features: cache.device and cache.host as they are by default


@dataclass(frozen=True)
class Lists:
    """The episode lists of one dataset under `hsnet`: `pool` (image, class) pairs a fold."""

    folds: int
    episodes: int
    classes: int
    pool: int


# What lists are drawn from that are not given. Pools of pascal and coco are those of the published
# lists, on average over the folds; where a pool is not published the number is one that repeats
# little, which is the dearer case.
DATASETS = {
    "pascal": Lists(4, 1000, 5, 467),
    "coco": Lists(4, 1000, 20, 20643),
    "coco2pascal": Lists(4, 1000, 5, 467),
    "fss1000": Lists(1, 2400, 240, 2400),
    "isic2018": Lists(1, 600, 3, 2594),
    "chestxray": Lists(1, 600, 1, 704),
    "deepglobe": Lists(1, 600, 6, 5666),
    "suim": Lists(1, 600, 6, 1500),
    "isaid": Lists(3, 1000, 5, 5000),
    "lvis": Lists(10, 2300, 92, 9000),
    "pascal-part": Lists(4, 2500, 14, 2500),
    "paco-part": Lists(4, 2500, 76, 5000),
}


def drawn(lists: Lists, shots: int, seed: int) -> Plan:
    """A plan of a list of these statistics."""
    random = np.random.RandomState(seed)
    each = max(lists.pool // lists.classes, shots + 1)
    episodes = []
    for number in range(lists.episodes):
        kind = number % lists.classes
        members = random.randint(each, size=shots + 1)
        query, *supports = (f"{kind}-{member}" for member in members)
        episodes.append(Episode(number, kind, query, tuple(supports)))
    return make_plan(episodes, lambda image: (1, 1), BATCH)


@dataclass
class Work:
    """Seconds of a batch: the GPU's, and the host's that decodes ahead and that scores."""

    gpu: float = 0.0
    decode: float = 0.0
    score: float = 0.0

    @property
    def seconds(self) -> float:
        """Decoding runs ahead in threads; scoring waits for the GPU and the GPU for it."""
        return max(self.gpu, self.decode / THREADS) + self.score


@dataclass(frozen=True)
class Costs:
    """What turns counts into seconds."""

    host: HostCost
    dtype: str

    def work(self, model: ModelCost, images: int, pairs: int, shots: int, episodes: int) -> Work:
        """A batch of so many episodes, for which so many images and pairs are encoded."""
        flops = images * model.image + pairs * model.support
        flops += episodes * (model.segment + shots * model.each)
        host = self.host
        decode = host.decode[min(host.decode, key=lambda side: abs(side - model.side))]
        return Work(
            flops / (H100_TFLOPS[self.dtype] * USED[self.dtype]) + model.wait * episodes / BATCH,
            decode * images,
            host.mask * pairs + (host.score[0] + host.mask + host.row) * episodes,
        )


@dataclass
class Machine:
    """One worker of the simulation: how long it was at work, and what it has encoded of each run.

    It forgets nothing, as with caches that hold what one class of a run needs.
    """

    busy: float = 0.0
    seen: dict[int, tuple[set[str], set[tuple[str, int]]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Simulated:
    """What came of it, in seconds."""

    wall: float
    busy: float
    loads: int


def simulate(
    plans: Mapping[int, tuple[str, int, Plan]], loads: Sequence[Sequence[int]], workers: int,
    costs: Costs,
) -> Simulated:  # fmt: skip
    """The real scheduling code with the costs as its clock."""
    schedule = Schedule([[(run, plans[run][2].episodes) for run in own] for own in loads], workers)
    models = [plans[own[0]][0] for own in loads]
    machines = [Machine() for _ in range(workers)]
    queues: list[list[LoadModel | Lease]] = [[] for _ in range(workers)]
    events: list[tuple[float, int, float]] = []
    now, loaded = 0.0, 0
    while True:
        for worker in range(workers):
            while not schedule.holds(worker):
                task = schedule.next(worker, now)
                if task is None:
                    break
                if isinstance(task, OpenRun):
                    schedule.opened(task.run, plans[task.run][2].batches)
                    continue
                machine = machines[worker]
                if isinstance(task, LoadModel):
                    machine.seen.clear()
                    seconds = IMPORTS + MODELS[models[task.load]].weights / READ
                    loaded += 1
                else:
                    seconds = _batch(machine, task, plans, costs)
                queues[worker].append(task)
                machine.busy += seconds
                heapq.heappush(events, (now + seconds, worker, seconds))
        if schedule.over:
            return Simulated(now, sum(machine.busy for machine in machines), loaded)
        now, worker, seconds = heapq.heappop(events)
        if isinstance(queues[worker].pop(0), LoadModel):
            schedule.loaded(worker, seconds)
        else:
            schedule.measured(worker, seconds)


def _batch(
    machine: Machine, lease: Lease, plans: Mapping[int, tuple[str, int, Plan]], costs: Costs
) -> float:
    model, shots, _ = plans[lease.run]
    images, pairs = machine.seen.setdefault(lease.run, (set(), set()))
    new_pairs = set(lease.batch.pairs()) - pairs
    new_images = {*lease.batch.images(), *(image for image, _ in new_pairs)} - images
    images |= new_images
    pairs |= new_pairs
    return costs.work(
        MODELS[model], len(new_images), len(new_pairs), shots, len(lease.batch.episodes)
    ).seconds


def whole(
    published: Mapping[str, Plan],
) -> tuple[dict[int, tuple[str, int, Plan]], list[list[int]]]:
    """Every run of the matrix by number, and the runs of each model.

    Args:
        published: plans of lists as they are, by dataset and name; the others are drawn.
    """
    cells = [
        (shots, published.get(f"{name} fold{fold}_{shots}shot") or drawn(lists, shots, seed=fold))
        for name, lists in DATASETS.items()
        for fold in range(lists.folds)
        for shots in SHOTS
    ]
    plans: dict[int, tuple[str, int, Plan]] = {}
    loads = []
    for model in MODELS:
        first = len(plans)
        for shots, plan in cells:
            plans[len(plans)] = (model, shots, plan)
        loads.append(list(range(first, len(plans))))
    return plans, loads


def planned(
    plans: Mapping[int, tuple[str, int, Plan]], loads: Sequence[Sequence[int]], costs: Costs
) -> Iterator[tuple[str, Work]]:
    """Each model's work by the planner's counts: every image and pair of a run encoded once."""
    counts = {id(plan): (plan.images, plan.pairs, plan.episodes) for _, _, plan in plans.values()}
    for own in loads:
        total = Work()
        for run in own:
            model, shots, plan = plans[run]
            images, pairs, episodes = counts[id(plan)]
            work = costs.work(MODELS[model], images, pairs, shots, episodes)
            total.gpu += work.gpu
            total.decode += work.decode
            total.score += work.score
        yield plans[own[0]][0], total


def largest(plans: Mapping[int, tuple[str, int, Plan]], model: ModelCost) -> float:
    """GB of features that one class of a run holds at most: what the cache must have room for."""
    most = 0.0
    for plan in {id(plan): plan for _, _, plan in plans.values()}.values():
        queries = Counter(e.class_index for batch in plan.batches for e in batch.episodes)
        distinct = {pair for batch in plan.batches for pair in batch.pairs()}
        pairs = Counter(kind for _, kind in distinct)
        megabytes = (
            queries[kind] * model.features[0] + pairs[kind] * model.features[1] for kind in queries
        )
        most = max(most, *megabytes)
    return most / 1000


def _print_work(name: str, work: Work, gigabytes: str) -> None:
    idle = work.score / (work.score + work.gpu)
    hours = (work.gpu / 3600, work.decode / 3600, work.score / 3600)
    print(
        f"| {name} | {hours[0]:.1f} | {hours[1]:.2f} | {hours[2]:.2f} | {idle:.0%} | {gigabytes} |"
    )


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=Path, help="folder of the published pascal and coco lists")
    parser.add_argument("--measure", action="store_true", help="the host's costs on this machine")
    parser.add_argument("--dtype", choices=sorted(USED), default="bf16")
    parser.add_argument("--gpus", type=int, nargs="*", default=[1, 8, 100])
    arguments = parser.parse_args()
    host = HOST
    if arguments.measure:
        with tempfile.TemporaryDirectory() as folder:
            host = measured(make_setup(), Path(folder))
        print(host)
    published = plans_of(arguments.splits) if arguments.splits else {}
    _print_counts(published)
    costs = Costs(host, arguments.dtype)
    plans, loads = whole(published)
    episodes = sum(plan.episodes for _, _, plan in plans.values())
    print(f"\n{len(plans)} runs, {episodes:,} episodes, {len(loads)} models")
    print("\n| model | GPU hours | decoding, core hours | scoring, core hours | GPU idle | GB |")
    print("|---|---:|---:|---:|---:|---:|")
    total = Work()
    for model, work in planned(plans, loads, costs):
        _print_work(model, work, f"{largest(plans, MODELS[model]):.1f}")
        total.gpu, total.decode = total.gpu + work.gpu, total.decode + work.decode
        total.score += work.score
    _print_work("all", total, "")
    print(f"\nstore: {episodes * host.bytes / 1e6:.0f} MB; features have {CACHE} GB by default")
    print("\n| GPUs | hours | GPU hours | of them working | models loaded |")
    print("|---:|---:|---:|---:|---:|")
    for gpus in arguments.gpus:
        done = simulate(plans, loads, gpus, costs)
        print(f"| {gpus} | {done.wall / 3600:.2f} | {gpus * done.wall / 3600:.1f} | "
              f"{done.busy / (gpus * done.wall):.1%} | {done.loads} |")  # fmt: skip


def plans_of(splits: Path) -> dict[str, Plan]:
    """The plans of the published lists."""
    return {
        f"{dataset} {own.name}": make_plan(own.episodes, lambda image: (1, 1), BATCH)
        for dataset in ("pascal", "coco")
        for own in drawn_lists(dataset, splits / dataset, "hsnet", SHOTS)
    }


def _print_counts(published: Mapping[str, Plan]) -> None:
    print("\n| list | episodes | images | pairs | encodes | without a cache |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, plan in published.items():
        naive = plan.naive_image_encodes + plan.naive_support_encodes
        print(f"| {name} | {plan.episodes:,} | {plan.images:,} | "
              f"{plan.pairs:,} | {plan.images + plan.pairs:,} | {naive:,} |")  # fmt: skip


if __name__ == "__main__":
    main()
