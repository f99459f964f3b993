"""Training episodes are base classes' alone, and a trained checkpoint runs."""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from benchmarks.cli import main
from benchmarks.errors import BenchError
from benchmarks.loader import Loader
from benchmarks.training_episodes import (
    held_out,
    training_batches,
    training_episodes,
    validation_episodes,
)
from datasets_prep.folds import Fold, FoldSet
from datasets_prep.prepared import PreparedDataset
from models.geometry import Squash
from models.weights import read_tensors
from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


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


def folds_of(*train: tuple[str, int], group: str | None = None) -> FoldSet:
    return FoldSet((Fold(0, (0, 1), (2,), train, ()),), group=group)


# --- episodes ---


@pytest.mark.parametrize("fold", [0, 1])
def test_every_episode_is_a_pair_of_a_base_class(dataset: PreparedDataset, fold: int) -> None:
    chosen = dataset.folds.fold(fold)
    for episode in islice(training_episodes(dataset.folds, fold, 3), 200):
        support = episode.supports[0]
        assert episode.class_index in chosen.base
        assert support != episode.query
        assert {(name, episode.class_index) for name in (support, episode.query)} <= set(
            chosen.train
        )


def test_each_round_asks_for_every_pair_once(dataset: PreparedDataset) -> None:
    pairs = dataset.folds.fold(0).train
    episodes = islice(training_episodes(dataset.folds, 0, 0), 2 * len(pairs))
    drawn = [(episode.query, episode.class_index) for episode in episodes]
    assert Counter(drawn[: len(pairs)]) == Counter(drawn[len(pairs) :]) == Counter(pairs)
    assert drawn[: len(pairs)] != drawn[len(pairs) :]


def test_the_seed_fixes_the_episodes(dataset: PreparedDataset) -> None:
    one, same, other = (
        list(islice(training_episodes(dataset.folds, 0, seed), 40)) for seed in (5, 5, 6)
    )
    assert one == same != other


def test_a_novel_class_in_the_training_list_is_an_error() -> None:
    folds = folds_of(("a", 0), ("b", 0), ("c", 2))
    with pytest.raises(BenchError, match="image c for class 2, which is not a base class"):
        training_episodes(folds, 0, 0)
    overlapping = replace(folds.folds[0], base=(0, 1, 2))
    with pytest.raises(BenchError, match="class 2, which is not a base class"):
        training_episodes(replace(folds, folds=(overlapping,)), 0, 0)


def test_a_class_of_one_image_or_one_video_is_never_drawn() -> None:
    train = (("v1_a", 0), ("v1_b", 0), ("v2_a", 1), ("v2_b", 1), ("v3_a", 1))
    drawn = list(islice(training_episodes(folds_of(*train, group=r"(v\d)"), 0, 0), 50))
    assert {episode.class_index for episode in drawn} == {1}
    assert all(episode.query[:2] != episode.supports[0][:2] for episode in drawn)
    with pytest.raises(BenchError, match="no base class has two training images"):
        training_episodes(folds_of(("a", 0), ("b", 1)), 0, 0)


def test_held_out_images_are_validated_on_and_never_trained_on(dataset: PreparedDataset) -> None:
    folds = dataset.folds
    spared = held_out(folds, 0)
    names = {image for image, _ in folds.fold(0).train}
    assert 0 < len(spared) < len(names) / 2
    checks = validation_episodes(folds, 0, 30)
    assert checks == validation_episodes(folds, 0, 30) and len(checks) == 30
    assert {name for e in checks for name in (e.query, *e.supports)} <= spared
    drawn = islice(training_episodes(folds, 0, 0, spared), 100)
    assert spared.isdisjoint(name for e in drawn for name in (e.query, *e.supports))


def test_a_class_of_few_images_gives_none_and_a_video_goes_whole() -> None:
    few = [(f"few{number}", 0) for number in range(7)]
    videos = [(f"v{number:02}_{frame}", 1) for number in range(30) for frame in "ab"]
    folds = folds_of(*few, *videos, group=r"^(few\d|v\d\d)")
    assert held_out(folds, 0) == {
        f"v{n}_{frame}" for n in ("00", "01", "20", "21") for frame in "ab"
    }
    assert {e.class_index for e in validation_episodes(folds, 0, 20)} == {1}
    assert validation_episodes(folds_of(*few), 0, 20) == []


def test_a_batch_holds_the_episodes_pixels_and_the_class_alone(dataset: PreparedDataset) -> None:
    episodes = list(islice(training_episodes(dataset.folds, 0, 1), 5))
    grid, loader = Squash(32), Loader(dataset, 1)
    batches = list(training_batches(loader, episodes, grid, 2, torch.device("cpu")))
    loader.close()
    assert [len(batch.queries) for batch in batches] == [2, 2, 1]
    for number, episode in enumerate(episodes):
        batch, row = batches[number // 2], number % 2
        for name, images, masks in (
            (episode.query, batch.queries, batch.query_masks),
            (episode.supports[0], batch.supports, batch.support_masks),
        ):
            truth = grid.mask((dataset.labels(name) == episode.class_index + 1).view("uint8"))
            assert torch.equal(masks[row], truth.float())
            assert torch.equal(images[row], grid.image(dataset.image(name)).float() / 255)


# --- the command ---

TINY = ("train", "hsnet", "--dataset", "tiny", "--fold", "1", "--backbone", "tiny", "--device",
        "cpu", "--batch-size", "2", "--validate", "0")  # fmt: skip


def state_of(out: str) -> dict[str, Any]:
    return torch.load(f"{out}.state", weights_only=True)


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(t, two[name]) for name, t in one.items())


def train(out: str, *args: str, steps: int = 3, code: int = 0) -> Result:
    return bench(*TINY, "--steps", str(steps), "--out", out, *args, code=code)


def test_a_trained_checkpoint_is_what_bench_run_loads(tmp_path: Path) -> None:
    assert "wrote hsnet/fold1.pt; loss of the last 3 steps" in train("hsnet/fold1.pt").stdout
    assert sorted(path.name for path in (tmp_path / "hsnet").iterdir()) == [
        "fold1.pt", "fold1.pt.state"
    ]  # fmt: skip
    options = ("--option", "weights=hsnet/fold{fold}.pt", "--option", "size=64")
    where = ("--datasets", "tiny", "--folds", "1", "--shots", "1", "--limit", "3")
    assert "hsnet" in bench("run", "--models", "hsnet", *options, *where, "--device", "cpu").stdout


def test_training_is_the_seeds_and_changes_the_learner_only() -> None:
    train("one.pt")
    train("two.pt", "--threads", "1")
    train("more.pt", steps=4)
    one, two, more = (read_tensors(Path(name)) for name in ("one.pt", "two.pt", "more.pt"))
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    changed = {name.split(".")[0] for name, t in one.items() if not torch.equal(t, more[name])}
    assert changed == {"hpn_learner"}


def test_a_killed_training_goes_on_and_ends_in_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    often = ("--save-every", "1", "--validate", "2")
    train("whole.pt", *often)

    def interrupted(*args: object) -> Iterator[float]:
        yield from islice(steps(*args), 2)
        raise KeyboardInterrupt

    import benchmarks.training

    steps = benchmarks.training.train
    with monkeypatch.context() as patched:
        patched.setattr(benchmarks.training, "train", interrupted)
        train("killed.pt", *often, code=130)
    assert state_of("killed.pt")["step"] == 2
    train("killed.pt", *often)
    one, two = state_of("whole.pt"), state_of("killed.pt")
    assert (one["step"], one["best"], one["score"]) == (two["step"], two["best"], two["score"])
    assert one["learner"] and same(one["learner"], two["learner"])
    assert same(read_tensors(Path("whole.pt")), read_tensors(Path("killed.pt")))


def test_a_finished_training_can_have_more_steps_of_its_own_kind_only() -> None:
    train("more.pt", steps=1)
    said = train("more.pt", steps=1, code=2).stderr
    assert "more.pt is trained for 1 steps already; ask for more --steps" in said
    other = train("more.pt", "--rate", "0.01", code=2).stderr
    assert "was begun with rate 0.001, now it is 0.01" in other
    before = read_tensors(Path("more.pt"))
    train("more.pt", steps=2)
    assert state_of("more.pt")["best"] == 2
    assert not same(before, read_tensors(Path("more.pt")))
    Path("more.pt.state").write_bytes(b"torn")
    assert "cannot read more.pt.state" in train("more.pt", code=2).stderr


def test_the_checkpoint_that_does_best_on_held_out_images_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import benchmarks.training

    scores = iter([0.2, 0.6, 0.5])
    monkeypatch.setattr(benchmarks.training, "_score", lambda *_: next(scores))
    said = train("best.pt", "--save-every", "1", "--validate", "1").stdout
    assert "best at step 2: mIoU 60.0 on held-out images" in said
    state, best = state_of("best.pt"), read_tensors(Path("best.pt"))
    assert (state["step"], state["best"], state["score"]) == (3, 2, 0.6)
    learner = {name: t for name, t in best.items() if name.startswith("hpn_learner.")}
    last = {f"hpn_learner.{name}": tensor for name, tensor in state["learner"].items()}
    assert learner.keys() == last.keys() and not same(learner, last)


def test_what_is_wrong_is_said_before_training() -> None:
    Path("there.pt").touch()
    assert "there.pt is there already" in train("there.pt", code=2).stderr
    assert "option size" in train("new.pt", "--size", "65", code=2).stderr
    assert "no fold 7: folds are 0..1" in bench(
        *TINY, "--fold", "7", "--steps", "1", "--out", "new.pt", code=2
    ).stderr  # fmt: skip
    assert not Path("new.pt").exists()
