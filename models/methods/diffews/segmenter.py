"""DiffewS as a `Segmenter`: encode once, pass the supports once, one step for each query."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from models.catalog import Card, parse_options
from models.errors import ModelError
from models.geometry import Squash
from models.methods.diffews import injection
from models.methods.diffews.attention import AttentionBank, Kept
from models.methods.diffews.decoder import tiny_decoder, vae_decoder
from models.methods.diffews.design import Design
from models.methods.diffews.features import inside_of, kept_of, pack
from models.methods.diffews.generation import Generation
from models.methods.diffews.optimise import optimise
from models.methods.diffews.options import DiffewSOptions
from models.methods.diffews.parts import Parts, check_design, load_parts, save_parts
from models.methods.diffews.scoring import margins
from models.methods.diffews.subsampling import subsampled
from models.methods.diffews.synthetic import random_parts
from models.methods.diffews.unet import TwoPass, by_layer
from models.segmenter import BaseSegmenter, Features, Supports
from models.weights.source import network_key, torch_dtype

logger = logging.getLogger(__name__)

_Run = Callable[[Tensor, Tensor | int], Tensor]

# One call of the VAE sees at most the pixels of an image of this area, or one image.
VAE_PIXELS = 512 * 512


class DiffewS(BaseSegmenter):
    """Few-shot segmentation with Stable Diffusion's U-Net.

    `encode_image` gives the VAE's mean latent, `encode_support` what the U-Net's self-attentions
    keep of an image and its mask, or its CLIP tokens; `segment` runs the query over its own and
    the kept keys, and decodes the latent that it predicts. Images may have any size whose sides
    are multiples of what a latent stands for, 8 pixels with Stable Diffusion's VAE.

    Source: arXiv 2410.02369; github.com/aim-uofa/DiffewS.

    Attributes:
        design: the checkpoint's answers to the paper's questions, `options` overriding.
        options: as given.
        parts: U-Net, VAE and prompt.
        passes: the U-Net's two passes.
        stages: the methods that stage timings tell apart, by the stage's name.
    """

    stages: ClassVar[Mapping[str, str]] = {
        "support_pass": "support_pass",
        "query_pass": "mask_latents",
        "decode": "decode",
    }
    Options = DiffewSOptions
    tiny: ClassVar[Mapping[str, object] | None] = {"random": "tiny", "resolution": 64}
    card = Card(
        title="DiffewS",
        summary="Stable Diffusion 2.1, key-value fusion between support and query, one step",
        source="https://arxiv.org/abs/2410.02369",
        year=2024,
        weights="Stable Diffusion 2.1, fine-tuned",
        licence="CreativeML Open RAIL++-M",
        training_data="LAION; then base classes of the fold, or several segmentation datasets",
        sees_test_classes={"*": "unknown"},
    )

    def __init__(self, parts: Parts, options: DiffewSOptions, *, device: str = "cpu") -> None:
        """Take over `parts`: they are moved and prepared for inference in place."""
        self.options, self.parts = options, parts
        self.design = Design.of(parts.unet_config, _chosen(options))
        check_design(self.design, parts)
        if self.design.tokenized and options.subsample_supports:
            raise ModelError(
                "DiffewS: subsample_supports thins the keys of self-attention, and "
                "interaction=tokenized_cross_attention keeps none; leave it out"
            )
        self.device, self.dtype = torch.device(device), parts.unet.dtype
        self.geometry = Squash(options.resolution)
        self.support_reads_pixels = self.design.mask_injection in ("multiplication", "addition")
        self.support_reads_pixels |= self.design.tokenized
        self.batch_size = min(16, max(1, 4 * VAE_PIXELS // options.resolution**2))
        self._generation = Generation(self.design)
        optimise(parts, options, self.device)
        prompt = parts.prompt.to(self.device, self.dtype)
        self.passes = TwoPass(parts.unet, AttentionBank(parts.unet), prompt)
        self._decode = (
            vae_decoder(parts.vae)
            if options.decoder == "vae"
            else tiny_decoder(options.tiny_decoder, self.device, self.dtype)
        )
        self._describe()

    @classmethod
    def load(
        cls, options: DiffewSOptions, *, device: str = "cpu", dtype: str = "fp32"
    ) -> "DiffewS":
        """Build from a checkpoint or with random weights, as `options` say.

        Raises:
            ModelError: if there are no weights, or two kinds, or they do not fit.
        """
        if options.random is not None:
            asked = options.model_dump(include={"checkpoint", "unet"}, exclude_unset=True)
            if any(asked.values()):  # but not a default, which diffews-tiny has
                raise ModelError("DiffewS: give the option checkpoint or random, not both")
            tokens = options.prompt_tokens
            design = Design.of({}, _chosen(options))
            parts = random_parts(options.random, options.seed, tokens, torch_dtype(dtype), design)
            return cls(parts, options, device=device)
        return cls(_load(options, options.prompt_embeds, dtype), options, device=device)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        unet: str | Path | None = None,
        prompt_embeds: str | Path | Tensor | None = None,
        *,
        device: str = "cpu",
        dtype: str = "fp32",
        **options: Any,
    ) -> "DiffewS":
        """Load a checkpoint in the released layout.

        Args:
            folder: base folder with `vae` and, unless `prompt_embeds` are given, `text_encoder`.
            unet: the U-Net's folder, `folder/unet` if None.
            prompt_embeds: the empty prompt's embeddings (1 × tokens × width), or their file.
            device: a torch device.
            dtype: "fp32", "fp16" or "bf16".
            **options: fields of `DiffewSOptions`.

        Raises:
            ModelError: if a part is missing or unreadable, or an option is wrong.
        """
        places = {"checkpoint": str(folder), "unet": None if unet is None else str(unet)}
        parsed = parse_options("diffews", cls, {**options, **places})
        assert isinstance(parsed, DiffewSOptions)  # noqa: S101 - narrows the type
        return cls(_load(parsed, prompt_embeds, dtype), parsed, device=device)

    def save_pretrained(self, folder: str | Path, unet: str | Path | None = None) -> None:
        """Write the checkpoint in the released layout; see `save_parts`."""
        save_parts(self.parts, self.design, Path(folder), None if unet is None else Path(unet))

    @torch.inference_mode()
    def encode_image(self, images: Tensor) -> list[Features]:
        """The VAE's mean latent of each image: `latent`, 4×H/8×W/8.

        Designs that compare the decoded image with the query's keep `pixels` (uint8) as well.
        """
        self._check_images(images)
        latents = self._latents(images.to(self.device, self.dtype) * 2 - 1)
        features = [{"latent": latent.clone()} for latent in latents]
        if self.design.reads_query:
            for kept, image in zip(features, images, strict=True):
                kept["pixels"] = (image * 255).round().byte()
        return [Features(kept) for kept in features]

    @torch.inference_mode()
    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """What each (image, mask) is to a query: see `features.pack`."""
        self._check_masks(images, masks)
        for index in (masks.flatten(1).amax(1) == 0).nonzero().flatten().tolist():
            logger.warning("support mask %d of %d has no foreground", index + 1, len(masks))
        masks, design = masks.to(self.device, self.dtype), self.design
        seen = images
        if self.support_reads_pixels:
            pixels = images.to(self.device, self.dtype) * 2 - 1
            seen = injection.composed(pixels, masks, design.mask_injection)
        tokens = self.parts.tokens if design.tokenized else None
        if tokens is not None:
            found, within = tokens(seen), tokens.inside(masks)
            return [
                Features({"tokens": t.clone(), "inside": i.clone()})
                for t, i in zip(found, within, strict=True)
            ]
        latents = self._latents(seen) if self.support_reads_pixels else self._stacked(features)
        inside: list[dict[int, Tensor]] = [{}] * len(masks)
        if design.concatenates:
            latents = torch.cat([latents, self._latents(injection.mask_image(masks))], 1)
        elif design.mask_injection == "multiplication_latent":
            latents = injection.masked_latents(latents, masks)
        elif design.mask_injection == "attention_mask":
            levels = len(self.parts.unet.down_blocks)
            grids = injection.token_grids((latents.shape[2], latents.shape[3]), levels)
            inside = injection.token_masks(masks, grids)
        return pack(self.support_pass(latents), inside)

    @torch.inference_mode()
    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """Foreground above the threshold of each query's decoded mask: B×H×W, foreground > 0."""
        decoded = self.decode(self.mask_latents(queries, supports))
        options, pixels = self.options, None
        if self.design.reads_query:
            pixels = torch.stack([query["pixels"].to(self.device) for query in queries]) / 255
        return margins(
            decoded,
            options.threshold,
            options.threshold_rule,
            options.scoring,
            self.design.supervision,
            pixels,
        )

    def support_pass(self, latents: Tensor) -> list[Kept]:
        """What each self-attention keeps of supports B×C×h×w, as `Kept` by layer."""
        return self.passes.support(latents, self.options.support_features)

    @torch.inference_mode()
    def mask_latents(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """The predicted latents of the queries' masks, B×4×h×w.

        Queries with equally many supports run together; without any, the U-Net is the stock one.
        """
        latents = self._stacked(queries)
        masks = torch.empty_like(latents)
        for shots in sorted({len(row) for row in supports}):
            rows = [index for index, row in enumerate(supports) if len(row) == shots]
            chosen = [supports[index] for index in rows]
            run = self._tokenized(chosen) if self.design.tokenized else self._fused(chosen)
            masks[rows] = self._generation.generate(
                latents[rows], run, self.options.denoising_steps, self.options.seed
            )
        return masks

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents B×4×h×w as images B×3×H×W, nominally -1..1, not clipped."""
        return self._in_chunks(self._decode, latents, self.parts.patch**2)

    def _fused(self, supports: Supports) -> _Run:
        """Self-attention over the query's and its supports' keys and values."""
        layers = self.passes.bank.layers
        kept = [[kept_of(support, layers) for support in row] for row in supports]
        inside: list[list[Mapping[int, Tensor]]] = [
            [inside_of(s.to(self.device)) for s in row] for row in supports
        ]
        if self.options.subsample_supports:
            kept, inside = subsampled(kept, inside, self.options.seed)
        bias = None
        if supports[0] and self.design.mask_injection == "attention_mask":
            bias = injection.outside_bias(inside, self.dtype)
        bank = by_layer(kept, layers)
        return lambda latents, step: self.passes.query(latents, bank, bias, step)

    def _tokenized(self, supports: Supports) -> _Run:
        """Cross-attention over the supports' CLIP tokens, or the prompt where there are none."""
        if not supports[0]:
            return self._fused(supports)

        def joined(name: str) -> Tensor:
            return torch.stack([torch.cat([s[name].to(self.device) for s in r]) for r in supports])

        tokens = joined("tokens").to(self.dtype)
        masked = self.design.mask_injection == "attention_mask"
        inside = joined("inside") if masked else None
        return lambda latents, step: self.passes.tokens(latents, tokens, inside, step)

    def _latents(self, images: Tensor) -> Tensor:
        """Mean latents of images in -1..1, B×3×H×W."""
        vae = self.parts.vae

        def encode(chunk: Tensor) -> Tensor:
            return vae.encode(chunk).latent_dist.mode() * vae.config.scaling_factor  # type: ignore[no-any-return]

        return self._in_chunks(encode, images, 1)

    def _in_chunks(
        self, run: Callable[[Tensor], Tensor], batch: Tensor, pixels_each: int
    ) -> Tensor:
        """Let the VAE see few enough images at once that its memory stays that of one at 512²."""
        pixels = batch.shape[2] * batch.shape[3] * pixels_each
        size = 1 if self.options.vae_slicing else max(1, VAE_PIXELS // pixels)
        return torch.cat([run(chunk) for chunk in torch.split(batch, size)])

    def _check_images(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != 3:
            raise ModelError(f"DiffewS: images must be B×3×H×W, not {tuple(images.shape)}")
        patch, (height, width) = self.parts.patch, images.shape[2:]
        if height % patch or width % patch:
            raise ModelError(
                f"DiffewS: image sides must be multiples of {patch}, not {height}×{width}"
            )

    def _check_masks(self, images: Tensor, masks: Tensor) -> None:
        self._check_images(images)
        expected = (images.shape[0], *images.shape[2:])
        if tuple(masks.shape) != expected:
            raise ModelError(
                f"DiffewS: masks must be {expected} as the images, not {tuple(masks.shape)}"
            )

    def _stacked(self, features: Sequence[Features]) -> Tensor:
        return torch.stack([f["latent"].to(self.device, self.dtype) for f in features])

    def _describe(self) -> None:
        options, parts = self.options, self.parts
        self.weights_digest = parts.digest
        self.comparable = parts.digest is not None and options.decoder == "vae"
        self.parameters = sum(
            weight.numel()
            for part in (parts.unet, parts.vae, parts.tokens)
            if part is not None
            for weight in part.parameters()
        )
        places = {"checkpoint", "unet", "prompt_embeds", "tiny_decoder"}
        self.config = {**options.model_dump(exclude=places), **self.design.model_dump()}
        self.config["prompt_tokens"] = parts.prompt.shape[1]
        if parts.inferred:
            self.config["inferred"] = dict(parts.inferred)
        self.trained_on = parts.trained_on
        how = (self.dtype, options.channels_last, options.compile, options.vae_slicing)
        kind = "sd-vae-mean-and-pixels" if self.design.reads_query else "sd-vae-mean"
        self.image_key = ":".join([kind, network_key(parts.vae, parts.vae_digest), *map(str, how)])


def _chosen(options: DiffewSOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in Design.model_fields}


def _load(options: DiffewSOptions, prompt_embeds: str | Path | Tensor | None, dtype: str) -> Parts:
    if options.checkpoint is None:
        raise ModelError(
            "diffews has no weights: give --checkpoint DIR (and --unet DIR) of a released "
            "DiffewS, or the option random=tiny to try it without"
        )
    return load_parts(
        Path(options.checkpoint),
        None if options.unet is None else Path(options.unet),
        prompt_embeds,
        tokens=options.prompt_tokens,
        exact_tokens="prompt_tokens" in options.model_fields_set,
        dtype=torch_dtype(dtype),
    )
