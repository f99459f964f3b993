"""What a run takes from a worker."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.engines import make_executor
from benchmarks.engines.messages import Done, Event, Executor, Measured
from benchmarks.engines.runner import run_matrix
from benchmarks.errors import BenchError
from benchmarks.results.records import TrainingRecord
from models.weights.trained_on import TrainedOn
from tests.benchmarks.engines.test_local import ONE_RUN, config
from tests.benchmarks.evaluation.test_evaluator import Quiet
from tests.tiny import ColourModel, tiny_dataset


class Forgetful:
    """A executor whose answers lack their last row."""

    name, size, depth = "forgetful", 1, 1

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.send, self.replace = executor.send, executor.replace
        self.now, self.close = executor.now, executor.close

    def wait(self, seconds: float | None) -> list[Event]:
        return [self._shorter(event) for event in self._executor.wait(seconds)]

    def _shorter(self, event: Event) -> Event:
        if isinstance(event, Done) and isinstance(event.answer, Measured):
            answer = event.answer
            return Done(event.worker, replace(answer, rows=answer.rows[:-1]))
        return event


def test_an_answer_that_lacks_an_episode_is_refused(tmp_path: Path) -> None:
    tiny_dataset(tmp_path / "data")
    wanted = config(tmp_path, tmp_path / "results", datasets=ONE_RUN)
    with pytest.raises(BenchError, match="answered batch 0 with episodes"):
        run_matrix(wanted, listener=Quiet(), executor=Forgetful(make_executor(wanted)))


class TrainedOnFold1(ColourModel):
    """Has met fold 0's novel classes."""

    trained_on = (TrainedOn("tiny", 1, "a test"),)


def test_folds_whose_classes_the_weights_have_seen_are_left_out(tmp_path: Path) -> None:
    tiny_dataset(tmp_path / "data")
    models = [{"name": "one", "model": f"{__name__}:TrainedOnFold1"}]
    datasets = [{"name": "tiny", "shots": [1]}]
    wanted = config(tmp_path, tmp_path / "results", models=models, datasets=datasets, limit=3)
    listener = Quiet()
    seen, own = run_matrix(wanted, listener=listener)
    assert (seen.status, seen.record) == ("left out", None)
    assert not seen.key.folder(wanted.results_root).exists()
    assert any("trained on the base classes of fold 1 (a test)" in note for note in listener.notes)
    assert own.record is not None
    record = own.record.setup.model
    assert (record.trained_fold, record.sees_test_classes) == (1, "no")
    assert record.trained_on == (TrainingRecord(dataset="tiny", fold=1, source="a test"),)
