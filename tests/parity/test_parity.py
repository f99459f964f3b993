"""Every model that has cases of its original, stage by stage."""

import importlib
import pkgutil
from pathlib import Path

import pytest
import torch

import tests.parity.models
from tests.parity.form import Parity, difference, read_case, read_state

_OWN = Path(__file__).parent / "cases"
_MODELS: dict[str, Parity] = {
    info.name: importlib.import_module(f"tests.parity.models.{info.name}")  # type: ignore[misc]
    for info in pkgutil.iter_modules(tests.parity.models.__path__)
}


def _file(name: str, request: pytest.FixtureRequest) -> Path:
    """A case or spec, of this folder or of the reference data."""
    if (_OWN / name).is_file():
        return _OWN / name
    shared: Path = request.getfixturevalue("shared_dir")
    path = shared / "reference" / "models" / "cases" / name
    if not path.is_file():
        pytest.skip(f"the reference data has no {name}")
    return path


@pytest.mark.parametrize(
    ("model", "case"), [(name, case) for name, parity in _MODELS.items() for case in parity.CASES]
)
def test_every_stage_is_that_of_the_authors(
    model: str, case: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    parity = _MODELS[model]
    read = read_case(_file(f"{case}.npz", request))
    state = {}
    for spec in parity.SPEC.split("+"):
        state |= read_state(_file(f"{spec}.spec.json", request))
    with torch.inference_mode():
        stages = parity.stages(read, state, tmp_path)
    assert set(stages) <= set(read.outputs)
    off = {}
    for stage, value in stages.items():
        found = difference(value, read.outputs[stage])
        allowed = parity.TOLERANCES.get(stage, 0.0)
        if found > parity.TOLERANCES.get(f"{case}.{stage}", allowed):
            off[stage] = f"{found:.2g}"
    assert not off
