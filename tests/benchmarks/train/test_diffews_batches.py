"""What DiffewS' stage makes of episodes: as many supports for all, and the authors' very step."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.train.config import TrainConfig
from benchmarks.train.diffews import DiffewSStage, EpisodeSettings
from benchmarks.train.draw import BaseEpisodes, TrainEpisode, Variant
from benchmarks.train.latents import LatentStore
from benchmarks.train.trainer import train
from datasets_prep.prepared.folds import Fold, FoldSet
from datasets_prep.runtime.progress import Silent
from models.geometry import Squash
from models.methods.diffews import Design
from models.methods.diffews.parts import load_parts
from models.methods.diffews.synthetic import untrained_parts
from models.methods.diffews.training.objective import DiffewSLoss
from models.methods.diffews.unet import learn

RATE, DECAY = 1e-3, 0.01


def stage_of(episodes: Any, objective: Any, parts: Any, loader: Any, shots: int) -> DiffewSStage:
    store: Any = LatentStore(parts, None, "dataset") if loader is not None else None
    settings = EpisodeSettings(shots, sample=False, validation=0, denoising_steps=1)
    held_out: Any = SimpleNamespace(classes=())
    size = Squash(128)
    return DiffewSStage(
        parts, objective, episodes, held_out, loader, size, store, settings, {}, seed=0
    )


def test_all_episodes_of_a_step_have_as_many_supports() -> None:
    """Whatever the pieces that the step is cut into."""
    few = [(name, 1) for name in ("a", "b", "c")]
    many = [(f"i{number}", 0) for number in range(40)]
    episodes = BaseEpisodes(FoldSet((Fold(0, (0, 1), (), (*few, *many), ()),)), 0)
    nothing = SimpleNamespace(design=Design(), vae=None)
    stage = stage_of(episodes, nothing, nothing, None, shots=3)
    seen = set()
    for step in range(40):
        samples = stage.draw(step, 3)
        classes, (shots,) = {e.class_index for e in samples}, {len(e.supports) for e in samples}
        seen.add((1 in classes, shots))
    assert seen == {(True, 1), (False, 1), (False, 2), (False, 3)}


def test_datasets_with_images_of_one_name_share_no_latents(tmp_path: Path) -> None:
    parts = untrained_parts("tiny", 0, 2)
    one, other = torch.rand(2, 3, 16, 16)

    def latents(dataset: str, image: Tensor) -> Tensor:
        return LatentStore(parts, tmp_path, dataset).latents(["key"], [image], None)

    first = latents("1" * 64, one)
    assert not torch.equal(latents("2" * 64, other), first)
    assert torch.equal(latents("1" * 64, other), first)


class Shown:
    """The images and masks of a reference case, as a `Loader` has them."""

    def __init__(self, case: dict[str, Tensor]) -> None:
        images = torch.cat([case["query_img"], case["support_imgs"]])
        self._images = ((images + 1) * 127.5).round().byte()
        self._masks = torch.cat([case["query_mask01"], case["support_masks01"]])

    def prefetch_images(self, names: Sequence[str], geometry: object) -> None:
        pass

    def image(self, name: str, geometry: object) -> Tensor:
        return self._images[int(name)]

    def support_mask(self, name: str, index: int, geometry: object) -> Tensor:
        return self._masks[int(name)]


@pytest.mark.parametrize("name", ["train_1shot_128_77tok", "train_2shot_128_2tok"])
def test_a_trained_step_is_the_authors_from_pixels_to_weights(
    shared_dir: Path, tmp_path: Path, name: str
) -> None:
    reference = shared_dir / "reference" / "diffews_tiny"
    case = load_file(reference / "cases" / f"{name}.safetensors")
    parts = load_parts(reference, prompt_embeds=case["prompt_embeds"])
    objective = DiffewSLoss(parts, Design())
    learn(parts.unet, Design())
    before = {n: w.detach().clone() for n, w in parts.unet.named_parameters()}
    supports = [(str(1 + shot), Variant()) for shot in range(len(case["support_imgs"]))]
    episode = TrainEpisode(0, ("0", Variant()), tuple(supports), seed=0)
    episodes = SimpleNamespace(draw=lambda random, shots: episode)
    stage = stage_of(episodes, objective, parts, Shown(case), shots=len(supports))
    config = TrainConfig(
        steps=1, batch_size=1, rate=RATE, weight_decay=DECAY, schedule="constant", clip=1.0
    )
    train(stage, config, tmp_path, Silent(), device="cpu")
    (row,) = csv.DictReader((tmp_path / "log.csv").open())
    gradients = {k.removeprefix("grad."): v for k, v in case.items() if k.startswith("grad.")}
    norms = json.loads((reference / "cases" / f"{name}.gradnorms.json").read_text())
    assert float(row["loss"]) == pytest.approx(norms["loss"], rel=1e-4)
    assert float(row["gradient_norm"]) == pytest.approx(norms["total_grad_norm"], rel=1e-3)
    assert len(gradients) == 5
    after = dict(parts.unet.named_parameters())
    for key, gradient in gradients.items():
        # The first step of AdamW goes as far for every gradient that is not nothing.
        expected = before[key] * (1 - RATE * DECAY) - RATE * gradient.sign()
        clear = gradient.abs() > 1e-2
        torch.testing.assert_close(after[key][clear], expected[clear], atol=1e-5, rtol=0)
