"""VRP-SAM as a `Segmenter`."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from models.backbones.base import RANDOM, freeze, seeded
from models.catalog import Card, Options
from models.errors import ModelError
from models.geometry import Geometry, LongestSide, Native, SquashAs
from models.methods.sam import SINGLE_MASK, Sam, load_sam
from models.methods.sam.frame import Frame
from models.methods.sam.network import ENCODE_BATCH, PUBLISHED, SamInput
from models.methods.vrp_sam.backbone import backbone_name, bare_layers, resnet_layers
from models.methods.vrp_sam.encoder import Reference, ReferenceEncoder
from models.segmenter import BaseSegmenter, Features, ImagePart, Supports, encode_parts
from models.weights.pretrained import Pretrained, normalised
from models.weights.source import fill, read_weights, tensor_digest, torch_dtype

_TINY_WIDTH = 2
_QUERIES = "transformer_decoder.supp_q_feat.weight"
_HINT = (
    "give a best_model.pt as the option weights=PATH (none is released: train it with "
    f"github.com/syp2ysy/VRP-SAM) and SAM as sam=PATH|OWNER/NAME (usually {PUBLISHED}), "
    "or the option random=tiny to try it without"
)


class VRPSAMOptions(Options):
    """Options of VRP-SAM."""

    weights: str | None = Field(
        default=None,
        description="a checkpoint of the reference encoder that the authors' code wrote "
        "(best_model.pt), with its backbone",
    )
    sam: str | None = Field(
        default=None,
        description="a folder, a hub id owner/name[@revision], or a file sam_vit_*.pth",
    )
    sam_input: SamInput = "authors"
    random: Literal["tiny"] | None = Field(
        default=None, description="random weights of this size in place of both, for tests"
    )


class VRPSAM(BaseSegmenter):
    """A reference and its mask become 50 prompts for SAM, which segments the query.

    The authors' `mask` prompts; their points, scribbles and boxes are not here. K references give
    50·K prompts. Images are squashed to half the side that SAM sees and stretched to it again,
    as the authors have it, with corners aligned; so are the logits, to half that side and then to
    any other grid.

    With `sam_input=padded` SAM sees the image as its own code pads it, and so does the encoder, at
    half that side: its prompts are no places that could be moved there. It was not trained so.

    What a query needs of itself is cached, and of a reference all that no query changes, up to the
    middle of the decoder's attention. A reference is not embedded by SAM: it is read from pixels.

    Source: arXiv 2402.17726; github.com/syp2ysy/VRP-SAM.

    Args:
        encoder: the `ReferenceEncoder` with its origin.
        sam: segments.
        padded: whether both see images padded, not squashed.
    """

    Options = VRPSAMOptions
    support_uses_features = False
    encode_batch = ENCODE_BATCH
    card = Card(
        title="VRP-SAM",
        summary="SAM prompted by 50 queries that read a masked reference; strict",
        source="https://arxiv.org/abs/2402.17726",
        year=2024,
        weights=f"not released; a best_model.pt of the authors' train.py, and {PUBLISHED}",
        licence="code MIT; SAM Apache-2.0 (as published, unverified)",
        training_data="base classes of the checkpoint's own dataset and fold; ImageNet-1k labels; "
        "SA-1B: masks without class names",
        sees_test_classes={"*": "unknown"},  # the checkpoint decides: see `weights.trained_on`
    )

    def __init__(self, encoder: Pretrained, sam: Sam, padded: bool = False) -> None:
        self.encoder: ReferenceEncoder = encoder.network
        self.sam = sam
        self.side = sam.size // 2
        self.padded = padded
        self.geometry: Geometry = Native(1) if padded else SquashAs(self.side, back="corners")
        self.image_parts = (
            ImagePart(f"vrp@{encoder.key}<{self.side}:{sam.dtype}", self._maps),
            ImagePart(sam.key, sam.encode_framed)
            if padded
            else ImagePart(f"{sam.key}:corners", self._embedding),
        )
        both = f"{encoder.digest} {sam.pretrained.digest}"
        self.weights_digest = hashlib.sha256(both.encode()).hexdigest()
        self.parameters = encoder.parameters + sam.pretrained.parameters
        self.comparable = not (encoder.random or sam.pretrained.random)
        self.config: Mapping[str, object] = {
            "backbone": backbone_name(self.encoder.layers),
            "weights": encoder.source,
            "sam": sam.pretrained.source,
            "size": self.side,
        } | ({"sam_input": "padded"} if padded else {})
        self.card = encoder.card(type(self).card)
        if self.comparable:
            source = f"{encoder.source}; {sam.pretrained.source}"
            self.card = replace(self.card, weights=source)

    @classmethod
    def load(cls, options: VRPSAMOptions, *, device: str = "cpu", dtype: str = "fp32") -> Self:
        """VRP-SAM with the weights that `options` name.

        Raises:
            ModelError: for weights that are not named, missing or do not fit.
        """
        given = (options.weights is not None, options.sam is not None)
        if given != (options.random is None,) * 2:
            state = "lacks weights" if options.random is None else "has two sorts of weights"
            raise ModelError(f"vrp-sam {state}: {_HINT}")
        sam = load_sam(
            "vrp-sam",
            weights=options.sam,
            random=options.random,
            device=device,
            dtype=dtype,
            option="sam",
        )
        width = sam.pretrained.network.config.prompt_encoder_config.hidden_size
        network, source, digest = _encoder(options.weights, width)
        encoder = Pretrained(freeze(network, device, torch_dtype(dtype)), source, digest)
        return cls(encoder, sam, options.sam_input == "padded")

    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image SAM's `embedding`, and `middle` and `deep` maps of the encoder's backbone."""
        return encode_parts(self.image_parts, images)

    @torch.no_grad()
    def _maps(self, images: Tensor) -> list[Features]:
        """Per image the `middle` and `deep` maps of the encoder's backbone."""
        middle, third = self.encoder.features(self._pixels(images))
        return [
            Features({"middle": one.clone(), "deep": other.clone()})
            for one, other in zip(middle, self.encoder.deep(third), strict=True)
        ]

    def _embedding(self, images: Tensor) -> list[Features]:
        """Per squashed image SAM's `embedding`."""
        size = (self.sam.size, self.sam.size)
        pixels = F.interpolate(self._pixels(images), size, mode="bilinear", align_corners=True)
        return [Features({"embedding": embedding}) for embedding in self.sam.embed(pixels)]

    def _pixels(self, images: Tensor) -> Tensor:
        """What the encoder sees of images, normalised."""
        like = next(self.encoder.parameters())
        if not self.padded:
            return normalised(images, like)
        frame = Frame((images.shape[2], images.shape[3]), self.side)
        return torch.stack([frame.image(image, like) for image in images])

    @torch.no_grad()
    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per (image, mask) the tensors of a `Reference`."""
        if self.padded:
            own = LongestSide(self.side)
            masks = torch.stack([own.mask(mask.byte().cpu().numpy()) for mask in masks])
        return [
            Features(dict(vars(self.encoder.reference(image, mask))))
            for image, mask in zip(self._pixels(images), masks, strict=True)
        ]

    @torch.no_grad()
    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """SAM's logits for each query, on the squashed square or of the padded image's size."""
        rows = list(zip(queries, supports, strict=True))
        logits = torch.stack([self._logits(query, shots) for query, shots in rows])
        if self.padded:
            whole = zip(queries, logits, strict=True)
            return torch.cat([self.sam.frame(query).restored(own) for query, own in whole])
        size = (self.side, self.side)
        return F.interpolate(logits, size, mode="bilinear", align_corners=True)[:, 0]

    def _logits(self, query: Features, shots: Sequence[Features]) -> Tensor:
        """SAM's single mask on its own grid, 1×h×w."""
        prompts = [
            self.encoder.prompts(query["middle"], query["deep"], Reference(**shot.tensors))
            for shot in shots
        ]
        _, dense = self.sam.pretrained.network.prompt_encoder(
            input_points=None, input_labels=None, input_boxes=None, input_masks=None
        )
        tokens = torch.cat(prompts)[None]
        masks, _ = self.sam.decode(query["embedding"], tokens, dense, which=SINGLE_MASK)
        return masks[0]


def _encoder(weights: str | None, width: int) -> tuple[ReferenceEncoder, str, str]:
    """The encoder from a checkpoint, or a tiny random one; where it came from, and its digest."""
    if weights is None:
        layers = (1, 1, 1, 1)
        network = seeded(lambda: ReferenceEncoder(resnet_layers(layers, _TINY_WIDTH), 50, width))
        return network, RANDOM, tensor_digest(network)
    read = read_weights(weights, hint=_HINT)
    with torch.device("meta"):
        bare = bare_layers(read.tensors)
        if bare is None or _QUERIES not in read.tensors:
            raise ModelError(f"{read.source} is no checkpoint of vrp-sam; {_HINT}")
        queries, own = read.tensors[_QUERIES].shape
        if own != width:
            raise ModelError(
                f"{read.source} makes prompts of width {own}, but this SAM reads width {width}"
            )
        network = ReferenceEncoder(bare, queries, width)
    fill(network, read, name="vrp-sam")
    return network, read.source, read.digest
