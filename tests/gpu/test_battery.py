"""The battery, check by check, where there is a GPU; and that it reports what it meets."""

import json
from pathlib import Path

import pytest
import torch

from tests.gpu import battery
from tests.gpu.machine import Machine
from tests.gpu.report import markdown

WHY = "no GPU: torch.cuda.is_available() is False; `make gpu` runs the battery where there is one"


@pytest.fixture(scope="session")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    from datasets_prep.builder import BuilderOptions
    from datasets_prep.datasets.shapes import Shapes
    from datasets_prep.prepared.prepare import PrepareOptions, prepare

    folder = tmp_path_factory.mktemp("gpu")
    prepare(Shapes(BuilderOptions()), PrepareOptions(folder / "data"))
    return Machine(torch.device("cuda:0"), True, folder / "data", folder)


@pytest.mark.skipif(not torch.cuda.is_available(), reason=WHY)
@pytest.mark.parametrize("name", battery.CHECKS)
def test_on_a_gpu(gpu: Machine, name: str) -> None:
    found = battery.tried(name, gpu)
    assert found["ok"], json.dumps(found, indent=1)


def test_a_check_that_breaks_is_reported_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(machine: Machine) -> dict[str, object]:
        raise RuntimeError("CUDA error: of a kind\nand more")

    monkeypatch.setattr(battery, "CHECKS", {"a": broken, "b": lambda machine: {"x": 1, "ok": True}})
    machine = Machine(torch.device("cpu"), False, tmp_path, tmp_path)
    seen: list[int] = []
    report = battery.battery(
        machine, ["a", "b"], 60, lambda report: seen.append(len(report["checks"]))
    )
    assert seen == [1, 2]
    assert report["checks"]["a"]["error"] == "RuntimeError: CUDA error: of a kind"
    assert report["checks"]["b"]["ok"]
    page = markdown(report)
    assert "1 of 2 checks held" in page and "CUDA error: of a kind" in page
    assert "**No GPU was at hand" in page


def test_what_time_does_not_allow_is_said(tmp_path: Path) -> None:
    machine = Machine(torch.device("cpu"), False, tmp_path, tmp_path)
    report = battery.battery(machine, ["cache"], -1, lambda report: None)
    assert report["checks"]["cache"] == {"ok": False, "error": "not tried: -1 s were over"}


def test_the_clock_takes_the_median(tmp_path: Path) -> None:
    import time

    machine = Machine(torch.device("cpu"), False, tmp_path, tmp_path)
    waits = iter([0.0, 0.3, 0.01, 0.01, 0.01])
    assert 8 < machine.milliseconds(lambda: time.sleep(next(waits)), repeats=3, warm=2) < 200
