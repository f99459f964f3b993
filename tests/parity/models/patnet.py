"""PATNet over VGG-16 at 128×128: slei109/PATNet; but for a full mask, see the model's docstring."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.parity.form import Case, State
from tests.parity.models import hsnet

CASES = ("patnet-vgg16-128-one",)
SPEC = "patnet-vgg16"
TOLERANCES = hsnet.TOLERANCES


def stages(case: Case, state: State, folder: Path) -> Mapping[str, Any]:
    """As of HSNet."""
    return hsnet.stages(case, state, folder, "patnet")
