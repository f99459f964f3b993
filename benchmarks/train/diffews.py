"""DiffewS on episodes of base classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.evaluation.loader import Loader
from benchmarks.train.draw import BaseEpisodes, TrainEpisode, generator, noises
from benchmarks.train.episodes import Item, held_out_miou, pixels
from benchmarks.train.latents import LatentStore
from benchmarks.train.pictures import save_grid
from benchmarks.train.pretraining import device_of
from benchmarks.train.trainable import Validation
from models.geometry import Geometry
from models.methods.diffews import injection
from models.methods.diffews.parts import Parts, save_parts
from models.methods.diffews.scoring import margins
from models.methods.diffews.supervision import target_image
from models.methods.diffews.training.objective import DiffewSLoss

_SHOWN = 6
THRESHOLD = 0.25


@dataclass(frozen=True)
class EpisodeSettings:
    """What episodes are made of.

    Attributes:
        shots: most supports of an episode; a step draws 1..shots.
        sample: whether latents are sampled, as the authors train, or the VAE's mean.
        validation: episodes of the validation.
        denoising_steps: DDIM steps in validation, for designs that need several.
    """

    shots: int
    sample: bool
    validation: int
    denoising_steps: int


class DiffewSStage:
    """Trains one design on a fold's base classes; no novel class is ever foreground."""

    def __init__(
        self,
        parts: Parts,
        objective: DiffewSLoss,
        episodes: BaseEpisodes,
        held_out: BaseEpisodes,
        loader: Loader,
        geometry: Geometry,
        store: LatentStore,
        settings: EpisodeSettings,
        described: Mapping[str, object],
        seed: int,
    ) -> None:
        self._parts, self._loss, self.design = parts, objective, objective.design
        self._episodes, self._held_out = episodes, held_out
        self._loader, self._geometry, self._store = loader, geometry, store
        self._settings, self._described, self._seed = settings, described, seed
        self.objective: nn.Module = objective
        self.frozen: Sequence[nn.Module] = (parts.vae,)

    def describe(self) -> Mapping[str, object]:
        """Dataset, fold, network and design."""
        return {"stage": "diffews", **self._described, **vars(self._settings)}

    def draw(self, step: int, count: int) -> Sequence[TrainEpisode]:
        """Episodes of one step, all with as many supports as the class with fewest can give."""
        random = generator(self._seed, step)
        shots = 1 + int(random.randint(self._settings.shots))
        episodes = [self._episodes.draw(random, shots) for _ in range(count)]
        fewest = min(len(episode.supports) for episode in episodes)
        return [replace(episode, supports=episode.supports[:fewest]) for episode in episodes]

    def prefetch(self, samples: Sequence[TrainEpisode]) -> None:
        """Begin to decode the images of some episodes."""
        names = [name for items in _items(samples) for _, name, _ in items]
        self._loader.prefetch_images(names, self._geometry)

    def collate(self, samples: Sequence[TrainEpisode]) -> dict[str, Tensor]:
        """What `DiffewSLoss` reads."""
        batch, _ = self._batch(samples)
        return batch

    def save(self, folder: Path) -> None:
        """Write the checkpoint in the released layout."""
        save_parts(self._parts, self.design, folder)

    @torch.no_grad()
    def validate(self, pictures: Path) -> Validation | None:
        """1-shot mIoU over episodes of base classes whose images are held out of training."""
        if not self._held_out.classes or not self._settings.validation:
            return None
        random = generator(self._seed, 0)
        samples = [self._held_out.draw(random, 1) for _ in range(self._settings.validation)]
        predicted, truths = [], []
        for start in range(0, len(samples), 8):
            chosen = samples[start : start + 8]
            batch, shown = self._batch(chosen, sample=False)
            device = device_of(self._loss.unet)
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            decoded = self._decode(self._loss.generate(batch, self._settings.denoising_steps)).cpu()
            queries = (shown.queries + 1) / 2
            form = self.design.supervision
            masks = margins(decoded, THRESHOLD, "relative", "exact", form, queries) > 0
            predicted.append(masks)
            truths.append(shown.query_masks)
            if start == 0:
                rows = [shown.supports, injection.mask_image(shown.support_masks), shown.queries]
                rows += [injection.mask_image(shown.query_masks), decoded.clamp(-1, 1)]
                rows += [injection.mask_image(masks.float())]
                save_grid(pictures, [row[:_SHOWN] for row in rows])
        return held_out_miou(samples, torch.cat(predicted), torch.cat(truths))

    def _decode(self, latents: Tensor) -> Tensor:
        vae = self._parts.vae
        return vae.decode(latents / vae.config.scaling_factor).sample  # type: ignore[no-any-return]

    def _batch(
        self, episodes: Sequence[TrainEpisode], sample: bool = True
    ) -> tuple[dict[str, Tensor], "Shown"]:
        queries, supports = _items(episodes)
        shots = len(supports) // len(queries)
        seeds = [e.seed for e in episodes]
        support_seeds = [e.seed + 1 + k for e in episodes for k in range(shots)]
        sampled = sample and self._settings.sample
        self.prefetch(episodes)
        shown = Shown(*self._pixels(queries), *self._pixels(supports))
        design, form = self.design, self.design.supervision
        targets = target_image(shown.queries, shown.query_masks, form)
        seen = injection.composed(shown.supports, shown.support_masks, design.mask_injection)
        how = design.mask_injection if seen is not shown.supports else ""
        batch = {
            "queries": self._encoded(queries, "", shown.queries, seeds if sampled else None),
            "targets": self._encoded(
                queries, form, targets, [s + 7919 for s in seeds] if sampled else None
            ),
            "support_masks": shown.support_masks,
        }
        if design.tokenized:
            batch["support_images"] = seen
        else:
            own = support_seeds if sampled else None
            batch["supports"] = self._encoded(supports, how, seen, own)
        if design.concatenates:
            masks = injection.mask_image(shown.support_masks)
            own = [s + 7919 for s in support_seeds] if sampled else None
            batch["support_mask_latents"] = self._encoded(supports, "white_fg_black_bg", masks, own)
        noise = noises([s + 104729 for s in seeds], tuple(batch["queries"].shape[1:]))
        timesteps = torch.tensor([s % self._loss.timesteps for s in seeds])
        return {**batch, "noise": noise, "timesteps": timesteps}, shown

    def _encoded(
        self,
        items: Sequence[Item],
        how: str,
        images: Tensor,
        seeds: Sequence[int] | None,
    ) -> Tensor:
        """Latents of images that show `how` (nothing for the image alone) a mask is in them."""
        keys = [
            f"{image}|{index if how else ''}|{how}|{v.colours if how != 'white_fg_black_bg' else 0}"
            f"|{v.flip}|{self._geometry}"
            for index, image, v in items
        ]
        return self._store.latents(keys, list(images), seeds)

    def _pixels(self, items: Sequence[Item]) -> tuple[Tensor, Tensor]:
        """Images in -1..1 and masks in {0, 1}."""
        images, masks = pixels(self._loader, self._geometry, items)
        return images.float() / 127.5 - 1, masks


def _items(episodes: Sequence[TrainEpisode]) -> tuple[list[Item], list[Item]]:
    """Queries and supports, equally many of each episode."""
    queries = [(e.class_index, *e.query) for e in episodes]
    return queries, [(e.class_index, *s) for e in episodes for s in e.supports]


@dataclass(frozen=True)
class Shown:
    """The pixels of a batch: images B×3×H×W in -1..1, masks B×H×W in {0, 1}."""

    queries: Tensor
    query_masks: Tensor
    supports: Tensor
    support_masks: Tensor
