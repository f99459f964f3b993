"""What every test may rely on: one thread, no network, and the reference data where it is."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference cases and real images that are not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"the reference data is not beside the checkout ({SHARED})")
    return SHARED
