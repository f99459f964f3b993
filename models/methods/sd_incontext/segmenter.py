"""Stable Diffusion's frozen U-Net paints a query's mask after its supports' masks.

After the paper, with the figures that a public reproduction gives, as its supplement was not at
hand: the prediction starts from the query's inverted latent; in the decoder's self-attentions it
reads the query image's queries, the supports' keys and their masks' values, those of several
supports side by side; 70 steps of edit-friendly DDPM inversion, temperature 0.4, contrast 1.67,
swap guidance 3.5, AdaIN.

Left open, and chosen here:

- the prompt: the empty one, in all passes;
- text guidance: none; swap guidance falls over the steps to half its weight, as in the work that it
  comes from (Alaluf et al., arXiv 2311.03335);
- which noise a step adds: the query's; supports and masks have noises of their own, as equal noise
  would match positions;
- from when on attention is swapped and AdaIN applied: from the first step, in every step;
- AdaIN with several supports: their statistics are averaged;
- from image to mask: the mean of the channels above one half.

Supports are the episode's; the paper retrieves them by likeness to the query, and so is no
reference for these figures.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from models.catalog import Card
from models.errors import ModelError
from models.geometry import Squash
from models.methods.diffews.attention import AttentionBank, Kept
from models.methods.diffews.injection import mask_image
from models.methods.diffews.parts import Parts
from models.methods.diffews.scoring import margins
from models.methods.diffews.stock import decoded, encoded, stock_parts
from models.methods.sd_incontext.attention import swapped
from models.methods.sd_incontext.inversion import (
    Prediction,
    Step,
    adapted,
    sampling_steps,
    trajectory,
)
from models.methods.sd_incontext.options import SDInContextOptions
from models.segmenter import BaseSegmenter, Features, Supports
from models.weights.source import network_key, torch_dtype

NAME = "sd-incontext"
_QUERY, _IMAGE, _MASK = range(3)  # each has noises of its own


class SDInContext(BaseSegmenter):
    """Training-free in-context segmentation with a Stable Diffusion folder.

    Attributes:
        options: as given.
        parts: U-Net, VAE and prompt.
        steps: of the sampling.
        bank: the U-Net's self-attentions.
        layers: those that are swapped, by their number in `bank`.
    """

    Options = SDInContextOptions
    tiny: ClassVar[Mapping[str, object] | None] = {"random": "tiny", "resolution": 64, "steps": 3}
    card = Card(
        title="SD in context",
        summary="Stable Diffusion paints the mask, supports' keys and masks' values, no training",
        source="https://arxiv.org/abs/2508.09949",
        year=2025,
        weights="Stable Diffusion",
        licence="CreativeML Open RAIL++-M, or the folder's",
        training_data="LAION, or the folder's: images and texts, no masks",
        sees_test_classes={"*": "no"},
    )

    def __init__(
        self, parts: Parts, options: SDInContextOptions, prediction: Prediction, device: str
    ) -> None:
        """Take over `parts`: they are moved in place."""
        self.options, self.parts = options, parts
        self.device, self.dtype = torch.device(device), parts.unet.dtype
        for module in (parts.unet, parts.vae):
            module.to(self.device)
        self.geometry = Squash(options.resolution)
        self.steps = sampling_steps(options.steps, prediction)
        self.bank = AttentionBank(parts.unet)
        self.layers = [
            layer
            for layer, name in enumerate(self.bank.names)
            if options.layers == "all" or name.startswith("up_blocks")
        ]
        self._prompt = parts.prompt.to(self.device, self.dtype)
        self.batch_size = min(16, max(1, 4 * 512**2 // options.resolution**2))
        self.support_reads_pixels = False
        self.weights_digest, self.comparable = parts.digest, parts.digest is not None
        self.parameters = sum(
            weight.numel() for part in (parts.unet, parts.vae) for weight in part.parameters()
        )
        self.config = {
            **options.model_dump(exclude={"checkpoint", "unet"}),
            "prediction": prediction,
        }
        self.image_key = f"sd-latent:{network_key(parts.vae, parts.vae_digest)}:{self.dtype}"
        # Fine-tuned with masks after all, such as a DiffewS: its folds are guarded as there.
        self.trained_on = parts.trained_on

    @classmethod
    def load(
        cls, options: SDInContextOptions, *, device: str = "cpu", dtype: str = "fp32"
    ) -> "SDInContext":
        """Build over the folder that `options` name, or over random weights.

        Raises:
            ModelError: if there are no weights, they do not fit, or it is not known what they
                predict.
        """
        given = options.checkpoint, options.unet, options.random
        parts = stock_parts(NAME, *given, torch_dtype(dtype))
        return cls(parts, options, _prediction(options), device)

    @torch.inference_mode()
    def encode_image(self, images: Tensor) -> list[Features]:
        """The VAE's mean latent of each image: `latent`, C×h×w."""
        latents = encoded(self.parts, images.to(self.device, self.dtype) * 2 - 1)
        return [Features({"latent": latent.clone()}) for latent in latents]

    @torch.inference_mode()
    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Latents of `image` and `mask`; and with support_features=kv, `STEP.LAYER.key|value`."""
        seen = mask_image(masks.to(self.device, self.dtype))
        pairs = list(zip(self._stacked(features), encoded(self.parts, seen), strict=True))
        supports = []
        for image, mask in pairs:
            tensors = {"image": image.clone(), "mask": mask.clone()}
            if self.options.support_features == "kv":
                paths = self._support_paths(image[None], mask[None])
                for index, step in enumerate(self.steps):
                    kept = self._kept(step, paths[0][index], paths[1][index])
                    for layer, (key, value) in zip(self.layers, kept, strict=True):
                        tensors[f"{index}.{layer}.key"] = key[0].clone()
                        tensors[f"{index}.{layer}.value"] = value[0].clone()
            supports.append(Features(tensors))
        return supports

    @torch.inference_mode()
    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """Brightness of each query's painted mask above the threshold: B×H×W."""
        latents = self._stacked(queries)
        painted = torch.empty_like(latents)
        for shots in sorted({len(row) for row in supports}):
            rows = [index for index, row in enumerate(supports) if len(row) == shots]
            chosen = [[s.to(self.device) for s in supports[index]] for index in rows]
            painted[rows] = self.paint(latents[rows], chosen)
        images = decoded(self.parts, painted)
        return margins(images, self.options.threshold, self.options.threshold_rule, "float")

    @torch.inference_mode()
    def paint(self, queries: Tensor, supports: Supports) -> Tensor:
        """Latents of the masks of queries B×C×h×w, each with the same number of supports."""
        batch, shots = len(queries), len(supports[0])
        path = trajectory(queries, self.steps, self._seed(_QUERY))
        images, masks = (
            torch.stack([s[name] for row in supports for s in row]).to(self.dtype)
            for name in ("image", "mask")
        )
        support_paths = self._support_paths(images, masks)
        current = path[0]
        for index, step in enumerate(self.steps):
            kept = self._shared(supports, index, step, support_paths)
            found: dict[str, Tensor] = {}
            both = torch.cat([path[index], current])
            asked = self.bank.record(self._run(both, step, found), "query", whole=True)
            original, plain = found["output"].chunk(2)
            # What sampling would have to add for the query to become itself.
            noise = path[index + 1] - step.mean(path[index], original)
            ask, keys, values = self._by_layer(asked, kept, batch)
            attention = swapped(ask, keys, values, self.options.temperature, self.options.contrast)
            self.bank.replaced(self._run(current, step, found), attention)
            output = plain + self._guidance(index) * (found["output"] - plain)
            current = step.mean(current, output)
            if step.spread:
                current = current + noise
            if self.options.adain:
                after = support_paths[1][index + 1]
                current = adapted(current, after.view(batch, shots, *after.shape[1:]))
        return current

    def _shared(
        self,
        supports: Supports,
        index: int,
        step: Step,
        paths: tuple[list[Tensor], list[Tensor]],
    ) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of all supports at a step, by swapped layer: (B·K) × tokens × width."""
        rows = [s for row in supports for s in row]
        if self.options.support_features == "latents":
            return self._kept(step, paths[0][index], paths[1][index])
        return [
            (
                torch.stack([s[f"{index}.{layer}.key"] for s in rows]),
                torch.stack([s[f"{index}.{layer}.value"] for s in rows]),
            )
            for layer in self.layers
        ]

    def _kept(self, step: Step, images: Tensor, masks: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The images' keys and the masks' values, by swapped layer."""
        run = self._run(torch.cat([images, masks]), step, {})
        kept, count = self.bank.record(run), len(images)
        return [(kept[layer][0][:count], kept[layer][1][count:]) for layer in self.layers]

    def _by_layer(
        self, asked: Sequence[Kept], kept: Sequence[tuple[Tensor, Tensor]], batch: int
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Queries, keys and values by layer of the bank; empty where it is not swapped."""
        empty = [torch.empty(0)] * self.bank.layers
        ask, keys, values = list(empty), list(empty), list(empty)
        for layer, (key, value) in zip(self.layers, kept, strict=True):
            ask[layer] = asked[layer][0][:batch]
            keys[layer] = key.reshape(batch, -1, key.shape[2])
            values[layer] = value.reshape(batch, -1, value.shape[2])
        return ask, keys, values

    def _support_paths(self, images: Tensor, masks: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        return (
            trajectory(images, self.steps, self._seed(_IMAGE)),
            trajectory(masks, self.steps, self._seed(_MASK)),
        )

    def _run(self, latents: Tensor, step: Step, found: dict[str, Tensor]) -> Callable[[], None]:
        """A pass of the U-Net that leaves its `output` in `found`."""

        def run() -> None:
            text = self._prompt.expand(len(latents), -1, -1)
            found["output"] = self.parts.unet(latents, step.timestep, text).sample

        return run

    def _guidance(self, index: int) -> float:
        start, last = self.options.guidance, max(1, len(self.steps) - 1)
        return start + (max(start / 2, 1.0) - start) * index / last

    def _seed(self, role: int) -> int:
        return 3 * self.options.seed + role

    def _stacked(self, features: Sequence[Features]) -> Tensor:
        return torch.stack([f["latent"].to(self.device, self.dtype) for f in features])


def _prediction(options: SDInContextOptions) -> Prediction:
    """What the U-Net predicts, by the options or the checkpoint's scheduler."""
    if options.prediction != "auto":
        return options.prediction
    if options.checkpoint is None:
        return "v_prediction"
    path = Path(options.checkpoint) / "scheduler" / "scheduler_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
        # diffusers leaves the entry out where it is the default.
        found = config.get("prediction_type", "epsilon")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{NAME}: cannot tell what the U-Net predicts: {path}: {error}; say it with the option "
            "prediction=epsilon (Stable Diffusion 1, 2-base) or v_prediction (2, 2.1)"
        ) from None
    if found == "epsilon" or found == "v_prediction":
        return found  # type: ignore[no-any-return]
    raise ModelError(f"{NAME}: {path} has prediction_type {found!r}, which is not supported")
