"""The clock jumps back: nothing that is measured or decided depends on the time of day."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.engines import sitting
from tests.faults.runs import KEY, counts, run
from tests.faults.test_torn_chunk import stop_after


class Backwards(datetime):
    """Every look at this clock is a day before the last."""

    seen = datetime(2020, 3, 1, tzinfo=UTC)

    @classmethod
    def now(cls, tz: object = None) -> datetime:
        Backwards.seen -= timedelta(days=1)
        return cls.seen


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitting, "datetime", Backwards)
    monkeypatch.setattr(time, "time", lambda: Backwards.now().timestamp())


@pytest.mark.usefixtures("backwards")
def test_an_unbroken_run_is_the_same(root: Path, tmp_path: Path) -> None:
    record = run(root, tmp_path / "a").record
    assert record is not None
    assert record.seconds > 0 and record.episodes_per_second > 0
    assert record.milliseconds_per_episode > 0


@pytest.mark.usefixtures("backwards")
def test_a_run_goes_on_from_files_of_the_future(root: Path, tmp_path: Path) -> None:
    journal = stop_after(root, tmp_path / "a", 5)
    tomorrow = time.time_ns() + 10**18
    os.utime(journal, ns=(tomorrow, tomorrow))
    record = run(root, tmp_path / "a").record
    assert record is not None and record.sittings == 2
    assert record.seconds > 0
    run(root, tmp_path / "b")
    assert counts(tmp_path / "a") == counts(tmp_path / "b")
    assert not (KEY.folder(tmp_path / "a") / "journal.jsonl").exists()
