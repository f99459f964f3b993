"""Two workers that share one card count what one counts."""

from benchmarks.engines.local import LocalExecutor
from benchmarks.engines.worker_process import Place
from tests.gpu.machine import Machine
from tests.gpu.runs import config, counts, run


def two_workers(machine: Machine) -> dict[str, object]:
    """`bench run` gives each worker a card of its own; here both are put on the first."""
    device = str(machine.device)
    models = [{"name": "diffews-tiny"}]
    alone, _ = run(config(machine, "workers/one", device, 48, models))
    wanted = config(machine, "workers/two", device, 48, models)
    place = Place(wanted, device, 1)
    shared, _ = run(wanted, LocalExecutor([place, place]))
    same = counts(alone) == counts(shared)
    return {
        "seconds, one worker": round(alone.record.seconds, 1),
        "seconds, two": round(shared.record.seconds, 1),
        "same counts": same,
        "ok": same,
    }
