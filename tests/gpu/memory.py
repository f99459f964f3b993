"""The cache's device tier and its eviction; batches that halve when memory runs out."""

import torch

from benchmarks.evaluation.cache import FeatureCache, Tier
from models.segmenter import Features
from tests.gpu.hungry import FITS, ROOM
from tests.gpu.machine import Machine
from tests.gpu.runs import config, counts, run

_MIB = 2**20


def cache(machine: Machine) -> dict[str, object]:
    """Sixteen features of one MiB through a tier of four, then runs with less and less room."""
    device = machine.device
    tiers = FeatureCache([Tier(device, 4 * _MIB), Tier(torch.device("cpu"), 8 * _MIB)])
    before = torch.cuda.memory_allocated(device) if machine.gpu else 0
    for index in range(16):
        made = torch.full((_MIB // 4,), float(index), device=device)
        tiers.put(index, Features({"x": made}))
        del made
    held = torch.cuda.memory_allocated(device) - before if machine.gpu else None
    kept = [index for index in range(16) if index in tiers]
    back = [tiers.get(index) for index in kept]
    right = all(
        feature is not None
        and feature["x"].device == torch.empty(0, device=device).device
        and bool((feature["x"] == index).all())
        for index, feature in zip(kept, back, strict=True)
    )
    found: dict[str, object] = {
        "kept of 16 in 12": len(kept),
        "bytes on the device": held,
        "all come back whole, on the device": right,
    }
    rooms = {"none": (0, 0), "0.2 MB on the device": (200_000, 50_000_000), "ample": (2**30, 2**30)}
    tables = {}
    for name, (own, host) in rooms.items():
        wanted = config(
            machine,
            f"cache/{len(tables)}",
            str(device),
            24,
            [{"name": "diffews-tiny"}],
            cache={"device": own, "host": host},
        )
        result, _ = run(wanted)
        tables[name] = counts(result)
        found[f"image encodes, cache {name}"] = result.record.cache.image_encodes
    same = all(table == tables["ample"] for table in tables.values())
    small = held is None or held <= 4 * _MIB
    return found | {"same counts with every room": same, "ok": same and right and small}


def out_of_memory(machine: Machine) -> dict[str, object]:
    """A model of which two queries fit: on a GPU the allocator is capped, and really refuses."""
    model = {"name": "hungry", "model": "tests.gpu.hungry:Hungry"}
    small = {"name": "hungry", "model": "tests.tiny:ColourModel"}
    capped = None
    if machine.gpu:
        machine.forget()
        room = torch.cuda.memory_reserved(machine.device) + int((FITS + 0.5) * ROOM)
        total = torch.cuda.get_device_properties(machine.device).total_memory
        capped = room / total
        torch.cuda.set_per_process_memory_fraction(capped, machine.device)
    try:
        result, listener = run(config(machine, "oom/capped", str(machine.device), 24, [model]))
    finally:
        if machine.gpu:
            torch.cuda.set_per_process_memory_fraction(1.0, machine.device)
            machine.forget()
    free, _ = run(config(machine, "oom/free", str(machine.device), 24, [small], batch_size=FITS))
    batch, same = result.record.setup.batch_size, counts(result) == counts(free)
    return {
        "share of the card's memory": None if capped is None else round(capped, 4),
        "batch that fitted": batch,
        "said": list(listener.notes),
        "counts as in batches of two": same,
        "ok": batch == FITS and same,
    }
