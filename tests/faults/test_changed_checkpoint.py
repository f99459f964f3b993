"""The checkpoint changes between start and resume: the run is refused, naming both digests."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from models.catalog import Options
from models.weights.source import read_weights
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.faults.runs import config
from tests.tiny import ColourModel


class GainOptions(Options):
    weights: str


class Gain(ColourModel):
    """Reads its gain from a weights file, and stops in the middle where `stops` says so."""

    Options = GainOptions

    @classmethod
    def load(cls, options: GainOptions, *, device: str, dtype: str) -> "Gain":  # type: ignore[override]
        weights = read_weights(options.weights, hint="there is none")
        model = cls(float(weights.tensors["gain"]))
        model.config, model.weights_digest = {"weights": weights.source}, weights.digest
        return model


class Stopping(Quiet):
    def advanced(self, episodes: int) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("finished", [False, True], ids=["begun", "finished"])
def test_it_is_refused(root: Path, tmp_path: Path, finished: bool) -> None:
    file = tmp_path / "gain.safetensors"
    save_file({"gain": torch.tensor(1.0)}, file)
    own = {"name": "gain", "model": f"{__name__}:Gain", "options": {"weights": str(file)}}
    wanted = config(root, tmp_path / "results", models=[own])
    if finished:
        run_matrix(wanted, listener=Quiet())
    else:
        with pytest.raises(KeyboardInterrupt):
            run_matrix(wanted, listener=Stopping())
    old = file.read_bytes()
    save_file({"gain": torch.tensor(2.0)}, file)
    with pytest.raises(BenchError, match=r"model\.weights_digest = '\w{64}', now it is '\w{64}'"):
        run_matrix(wanted, listener=Quiet())
    file.write_bytes(old)
    status = run_matrix(wanted, listener=Quiet())[0].status
    assert status == ("already complete" if finished else "measured")
