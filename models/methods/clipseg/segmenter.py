"""CLIPSeg as a `Segmenter`.

After timojl/clipseg: images and masks are those of its PASCAL-5i evaluation
(`experiments/pascal_1shot.yaml`), which takes them from PFENet's loader.
"""

import hashlib
from collections.abc import Sequence
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from models.catalog import Card
from models.errors import ModelError
from models.methods.clipseg.checkpoint import CLIP, original
from models.methods.clipseg.geometry import PFENetSquare
from models.methods.clipseg.network import tiny_network
from models.methods.clipseg.prompt import visual_prompt
from models.segmenter import Features, Supports
from models.weights.local import local
from models.weights.pretrained import (
    OverTransformers,
    Pretrained,
    PretrainedOptions,
    normalised,
)
from models.weights.source import network_key, read_weights

_SIZE = 352  # what the published decoders were trained on, finer than CLIP's own 224


class CLIPSegOptions(PretrainedOptions):
    """Options of CLIPSeg."""

    threshold: float = Field(
        default=0.24,
        gt=0,
        lt=1,
        description="probability above which a pixel is foreground; the authors use 0.24 for "
        "models trained with negatives, 0.28 for those trained without",
    )

    clip: str | None = Field(
        default=None,
        description="CLIP for an authors' file (rd64-uni*.pth), which holds the decoder alone: a "
        f"hub id, usually {CLIP}, or a folder with its model.safetensors",
    )


class CLIPSeg(OverTransformers):
    """A decoder over CLIP's activations, conditioned on CLIP's embedding of a prompt image.

    The prompt is the support cropped to its object, its background blurred and faded to the mean
    colour. The embeddings of several supports are averaged. A support without foreground is a
    prompt of all background.
    """

    Options = CLIPSegOptions
    name = "clipseg"
    architecture = "CLIPSegForImageSegmentation"
    published = "CIDAS/clipseg-rd64-refined"
    tiny_network = tiny_network
    card = Card(
        title="CLIPSeg",
        summary="a decoder over CLIP ViT-B/16, conditioned on a cropped and blurred support",
        source="https://arxiv.org/abs/2112.10003",
        year=2022,
        weights=published,
        licence="Apache-2.0 (as the hub says; the repository's MIT excludes weights)",
        training_data="PhraseCut: phrases and masks on Visual Genome; CLIP: 400 million web images",
        sees_test_classes={
            "*": "unknown",
            "camvid": "partly",
            "coco": "yes",
            "fss1000": "partly",
            "pascal": "yes",
            "shapes": "no",
        },
    )
    support_uses_features = False

    def __init__(
        self, pretrained: Pretrained, threshold: float = 0.24, clip: str | None = None
    ) -> None:
        self.network = pretrained.network
        # Random networks have no usual size but that of their position embeddings.
        size = int(self.network.config.vision_config.image_size) if pretrained.random else _SIZE
        super().__init__(pretrained, size=size, threshold=threshold, clip=clip)
        self.geometry = PFENetSquare(size)
        self.threshold = threshold
        self._identify(pretrained.digest)

    @classmethod
    def load(cls, options: PretrainedOptions, *, device: str = "cpu", dtype: str = "fp32") -> Self:
        """CLIPSeg with the weights, and for a file of the decoder alone the CLIP, of `options`.

        Raises:
            ModelError: for weights that are not named, missing or do not fit, or a CLIP beside
                weights that bring their own.
        """
        if not isinstance(options, CLIPSegOptions) or options.clip is None:
            return cls.load_with(original(None), options, device=device, dtype=dtype)
        path = local(options.weights or "")
        if path is None or not path.is_file():
            raise ModelError(
                "clipseg: the option clip is for an authors' file (rd64-uni*.pth), which holds the "
                "decoder alone; other weights bring their CLIP, so leave it out"
            )
        clip = read_weights(options.clip, hint=f"give clip={CLIP}, or a folder with its weights")
        options = options.model_copy(update={"clip": clip.source})
        model = cls.load_with(original(clip.tensors), options, device=device, dtype=dtype)
        both = f"{model.weights_digest} {clip.digest}"
        model._identify(hashlib.sha256(both.encode()).hexdigest())
        return model

    def _identify(self, digest: str) -> None:
        """Name the weights, and what they compute of an image."""
        self.weights_digest = digest
        self.image_key = f"clipseg@{network_key(self.network, digest)}:{self.network.dtype}"

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image, `activations` of the CLIP layers that the decoder reads: layers×tokens×C."""
        output = self.network.clip.vision_model(
            pixel_values=normalised(images, next(self.network.parameters())),
            output_hidden_states=True,
            interpolate_pos_encoding=True,
        )
        # The first hidden state is the input of the first layer.
        layers = [output.hidden_states[number + 1] for number in self.network.extract_layers]
        return [Features({"activations": each.clone()}) for each in torch.stack(layers, dim=1)]

    @torch.no_grad()
    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, CLIP's `embedding` of its visual prompt."""
        pixels = normalised(images, images)
        prompts = [visual_prompt(*pair) for pair in zip(pixels, masks, strict=True)]
        embeddings = self.network.get_conditional_embeddings(
            batch_size=len(prompts),
            conditional_pixel_values=torch.stack(prompts).to(next(self.network.parameters())),
        )
        return [Features({"embedding": embedding.clone()}) for embedding in embeddings]

    @torch.no_grad()
    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """Probability above the threshold: B×size×size, foreground > 0."""
        activations = torch.stack([query["activations"] for query in queries])
        embeddings = torch.stack(
            [torch.stack([shot["embedding"] for shot in shots]).mean(0) for shots in supports]
        )
        logits: Tensor = self.network.decoder(activations.unbind(1), embeddings).logits.float()
        return logits.sigmoid() - self.threshold
