"""One tiny dataset for all faults; who changes it copies it first."""

from pathlib import Path

import pytest

from tests.tiny import tiny_dataset


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `data/tiny`."""
    folder = tmp_path_factory.mktemp("faults")
    tiny_dataset(folder / "data")
    return folder
