"""HSNet's training on tiny data: a checkpoint that runs, of the learner alone, killed or whole."""

import csv
import json
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor

from benchmarks.cli import main
from benchmarks.evaluation.loader import Loader
from benchmarks.train.draw import TrainEpisode
from benchmarks.train.hsnet import HSNetJob, HSNetStage, authors_config, hsnet_stage
from benchmarks.train.trainable import Validation
from datasets_prep.prepared.dataset import PreparedDataset
from models.geometry import Squash
from models.methods.hsnet.train import HSNetLoss
from models.weights.source import read_tensors
from tests.tiny import tiny_dataset

TINY = ("train", "hsnet", "--dataset", "tiny", "--fold", "1", "--backbone", "tiny", "--device",
        "cpu", "--batch-size", "2")  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return tiny_dataset(tmp_path_factory.mktemp("data"), images=120)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("BENCH_DATA", str(dataset.root.parent))
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "results"))


def bench(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == code, result.output
    return result


def train(out: str, *args: str, steps: int = 3, validate: int = 0, code: int = 0) -> Result:
    how = ("--steps", str(steps), "--validate", str(validate), "--out", out)
    return bench(*TINY, *how, *args, code=code)


def weights(folder: str) -> dict[str, Tensor]:
    return read_tensors(Path(folder) / "model.safetensors")


def same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(t, two[name]) for name, t in one.items())


def scores(out: str) -> list[str]:
    return [row["step"] for row in csv.DictReader((Path(out) / "validation.csv").open())]


def test_a_trained_checkpoint_is_what_bench_run_loads() -> None:
    assert "wrote hsnet/fold1: loss 0." in train("hsnet/fold1", validate=3).stdout
    left = {path.name for path in Path("hsnet/fold1").iterdir()}
    assert {"best", "last", "state.pt", "train.json", "log.csv", "loss.png"} <= left
    assert list(Path("hsnet/fold1/pictures").glob("*.png"))
    options = ("--option", "weights=hsnet/fold{fold}/best", "--option", "size=64")
    where = ("--datasets", "tiny", "--folds", "1", "--shots", "1", "--limit", "3")
    assert "hsnet" in bench("run", "--models", "hsnet", *options, *where, "--device", "cpu").stdout


def test_training_is_the_seeds_and_changes_the_learner_only() -> None:
    train("one")
    train("two", "--threads", "1")
    train("more", steps=4)
    one, two, more = (weights(f"{out}/last") for out in ("one", "two", "more"))
    assert same(one, two)
    changed = {name.split(".")[0] for name, t in one.items() if not torch.equal(t, more[name])}
    assert changed == {"hpn_learner"}


def test_a_killed_training_goes_on_and_ends_in_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    often = ("--save-every", "2")
    train("whole", *often, steps=5, validate=2)
    forward, calls = HSNetLoss.forward, []

    def interrupted(loss: HSNetLoss, batch: Mapping[str, Tensor]) -> Tensor:
        calls.append(batch)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return forward(loss, batch)

    with monkeypatch.context() as patched:
        patched.setattr(HSNetLoss, "forward", interrupted)
        train("killed", *often, steps=5, validate=2, code=130)
    assert "go on with --resume" in train("killed", *often, steps=5, code=2).stderr
    train("killed", *often, "--resume", steps=5, validate=2)
    assert scores("whole") == scores("killed") == ["2", "4", "5"]
    for name in ("last", "best"):
        assert same(weights(f"whole/{name}"), weights(f"killed/{name}"))


def test_a_finished_training_can_have_more_steps_of_its_own_kind_only() -> None:
    train("whole", steps=2)
    train("more", steps=1)
    assert "more is trained to its last step" in train("more", "--resume", steps=1).stdout
    other = train("more", "--rate", "0.01", "--resume", code=2).stderr
    assert "it was begun with rate=0.001, this is 0.01" in other
    before = weights("more/last")
    train("more", "--resume", steps=2)
    assert not same(before, weights("more/last"))
    assert same(weights("whole/last"), weights("more/last"))
    assert "trained for 2 steps already" in train("more", "--resume", steps=1, code=2).stderr
    Path("more/state.pt").write_bytes(b"torn")
    assert "cannot read more/state.pt" in train("more", "--resume", code=2).stderr


def test_the_checkpoint_that_does_best_on_held_out_images_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train("two", steps=2)
    given = iter([0.2, 0.6, 0.5])
    monkeypatch.setattr(HSNetStage, "validate", lambda *_: Validation(next(given), "held-out mIoU"))
    said = train("best", "--save-every", "1", validate=1).stdout
    assert "best validation 0.6000" in said
    assert same(weights("best/best"), weights("two/last"))
    assert not same(weights("best/best"), weights("best/last"))


def test_without_validation_only_the_last_step_is_there() -> None:
    assert "only last/ is written" in train("last", steps=1).stderr
    assert not Path("last/best").exists()


def test_what_is_wrong_is_said_before_training() -> None:
    assert "option size" in train("new", "--size", "65", code=2).stderr
    assert "no fold 7: folds are 0..1" in train("new", "--fold", "7", code=2).stderr
    assert not Path("new").exists()


def stage_of(dataset: PreparedDataset, loader: Loader, fold: int, validation: int) -> HSNetStage:
    config = authors_config(steps=2, batch_size=2)
    root = dataset.root.parent
    job = HSNetJob(root, "tiny", fold, "tiny", None, None, validation, config)
    return hsnet_stage(job, dataset, loader)


def test_a_step_is_the_authors_adam(dataset: PreparedDataset) -> None:
    train("two", steps=2)
    with closing(Loader(dataset, 1)) as loader:
        stage = stage_of(dataset, loader, fold=1, validation=0)
        network = stage.objective.eval().network
        learner = network.hpn_learner
        optimizer = torch.optim.Adam(learner.parameters(), lr=1e-3)
        for step in (1, 2):
            optimizer.zero_grad()
            stage.objective(stage.collate(stage.draw(step, 2))).backward()
            optimizer.step()
    trained = weights("two/last")
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(trained[name], tensor)


def test_a_batch_holds_the_episodes_pixels_and_the_class_alone(dataset: PreparedDataset) -> None:
    with closing(Loader(dataset, 1)) as loader:
        stage = stage_of(dataset, loader, fold=0, validation=0)
        samples: list[TrainEpisode] = list(stage.draw(1, 5))
        batch = stage.collate(samples)
    grid = Squash(64)
    assert json.loads(json.dumps(stage.describe()))["size"] == 64
    for row, episode in enumerate(samples):
        for name, kind, masks in (
            (episode.query[0], "queries", "query_masks"),
            (episode.supports[0][0], "supports", "support_masks"),
        ):
            truth = grid.mask((dataset.labels(name) == episode.class_index + 1).view("uint8"))
            assert torch.equal(batch[masks][row], truth.float())
            assert torch.equal(batch[kind][row], grid.image(dataset.image(name)).float() / 255)


def test_validation_is_the_mean_iou_of_held_out_classes(
    dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_of_the_truth(network: object, batch: object) -> Tensor:
        masks = batch.query_masks.clone()  # type: ignore[attr-defined]
        for mask in masks.flatten(1):
            inside = mask.nonzero().flatten()
            mask[inside[: len(inside) // 2]] = 0
        return masks.bool()

    monkeypatch.setattr("benchmarks.train.hsnet.predicted", half_of_the_truth)
    with closing(Loader(dataset, 1)) as loader:
        found = stage_of(dataset, loader, fold=0, validation=12).validate(tmp_path / "shown.png")
    assert found is not None and found.name == "held-out mIoU"
    assert found.score == pytest.approx(0.5, abs=0.02)
    assert (tmp_path / "shown.png").stat().st_size > 500
