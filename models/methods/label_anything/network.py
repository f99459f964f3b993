"""Label Anything's network: image encoder, prompt encoder and decoder, and its checkpoints.

After `models/build_lam.py`, `models/lam.py` and `models/mask_decoder.py` of
pasqualedem/LabelAnything; modules are called as there.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.backbones.base import RANDOM, freeze, seeded
from models.errors import ModelError
from models.methods.label_anything.attention import ChannelNorm, TwoWayTransformer
from models.methods.label_anything.prompts import PromptEncoder, PromptType
from models.weights.networks import architecture, read_network
from models.weights.original import Original, State, count
from models.weights.pretrained import Pretrained, hint
from models.weights.source import (
    Weights,
    fill,
    locate,
    read_weights,
    tensor_digest,
    torch_dtype,
    without_prefix,
)

NAME = "label-anything"
PUBLISHED = "pasqualedem/label_anything_coco_fold0_mae_7a5p0t63"
_ENCODER = "image_encoder."
HINT = hint(PUBLISHED)
_HEAD = 64  # channels of a head of every published ViT; no shape tells


@dataclass(frozen=True)
class Sizes:
    """What the shapes of a checkpoint tell of the parts behind the image encoder.

    Attributes:
        encoder: channels of the image encoder.
        width: channels of maps, tokens and embeddings (`embed_dim`).
        narrow: channels in which places and classes are compared.
        convs: 3×3 convolutions before that (`spatial_convs`).
    """

    encoder: int
    width: int
    narrow: int
    convs: int


class ClassPerceptron(nn.Module):
    """Three linear layers with ReLU between them."""

    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, out) for out in (width, width, narrow)])

    def forward(self, tokens: Tensor) -> Tensor:
        """...×narrow from ...×width."""
        first, second, last = self.layers
        result: Tensor = last(second(first(tokens).relu()).relu())
        return result


class MaskDecoder(nn.Module):
    """Class embeddings and the query look at each other; their products are the logits."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, narrow = sizes.width, sizes.narrow
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, 2 * narrow, 2, stride=2),
            ChannelNorm(2 * narrow),
            nn.GELU(),
            nn.ConvTranspose2d(2 * narrow, narrow, 2, stride=2),
        )
        self.class_mlp = ClassPerceptron(width, narrow)
        self.transformer = TwoWayTransformer(width)
        convs: list[nn.Module] = []
        for _ in range(sizes.convs):
            convs += [nn.Conv2d(narrow, narrow, 3, padding=1), ChannelNorm(narrow), nn.GELU()]
        self.spatial_convs = nn.Sequential(*convs[:-2])

    def forward(self, maps: Tensor, places: Tensor, classes: Tensor) -> Tensor:
        """Logits B×N×4h×4w from maps B×C×h×w, places (h·w)×C and classes B×N×C."""
        classes, image = self.transformer(maps, places, classes)
        fine = self.spatial_convs(self.output_upscaling(image.mT.unflatten(2, maps.shape[-2:])))
        return torch.einsum("bnc,bchw->bnhw", self.class_mlp(classes), fine)


class LabelAnythingNetwork(nn.Module):
    """The modules under the authors' names.

    Args:
        encoder: transformers' ViTModel.
        sizes: of the rest.
    """

    def __init__(self, encoder: nn.Module, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.image_encoder = encoder
        self.neck = nn.Sequential(
            nn.Conv2d(sizes.encoder, width, 1, bias=False),
            ChannelNorm(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            ChannelNorm(width),
        )
        self.prompt_encoder = PromptEncoder(width)
        self.mask_decoder = MaskDecoder(sizes)

    def encode(self, images: Tensor) -> Tensor:
        """Maps B×C×h×w of normalised images B×3×H×W."""
        encoder: Any = self.image_encoder
        tokens = encoder(images, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
        rows = images.shape[-2] // encoder.config.patch_size
        maps: Tensor = self.neck(tokens.mT.unflatten(2, (rows, -1)))
        return maps

    def embed(self, maps: Tensor, masks: Tensor, kind: PromptType) -> Tensor:
        """Embeddings of background and class, B×2×C: see `PromptEncoder.forward`."""
        embeddings: Tensor = self.prompt_encoder(maps, masks, kind)
        return embeddings

    def decode(self, maps: Tensor, classes: Tensor) -> Tensor:
        """Logits B×N×4h×4w of queries' maps B×C×h×w for class embeddings B×N×C."""
        places = self.prompt_encoder.pe_layer.grid(*maps.shape[-2:])
        logits: Tensor = self.mask_decoder(maps, places, classes)
        return logits


def _read_encoder(tensors: Mapping[str, Tensor], filename: str) -> tuple[Any, State]:
    """The ViT of a checkpoint, which has the names that transformers gave it before 5."""
    import transformers

    state = {
        name.removeprefix(_ENCODER): tensor
        for name, tensor in without_prefix(tensors, "model.").items()
        if name.startswith(_ENCODER)
    }
    width = state["embeddings.cls_token"].shape[-1]
    patch = state["embeddings.patch_embeddings.projection.weight"].shape[-1]
    places = state["embeddings.position_embeddings"].shape[1] - 1
    config = transformers.ViTConfig(
        hidden_size=width,
        num_hidden_layers=count(state, r"^encoder\.layer\.(\d+)\."),
        num_attention_heads=width // _HEAD,
        intermediate_size=len(state["encoder.layer.0.intermediate.dense.bias"]),
        image_size=math.isqrt(places) * patch,
        patch_size=patch,
    )
    return config, state


_VIT = Original("model.safetensors", f"model.{_ENCODER}embeddings.cls_token", _read_encoder)


def load_network(spec: str, *, device: str, dtype: str) -> Pretrained:
    """The network with the weights that a user named.

    Args:
        spec: a file, a folder or a hub id; `RANDOM` for a tiny network with random weights.
        device: a torch device.
        dtype: "fp32", "fp16" or "bf16".

    Raises:
        ModelError: for weights that are missing or do not fit.
    """
    if spec == RANDOM:
        network: nn.Module = seeded(tiny_network)
        source, digest = RANDOM, tensor_digest(network)
    else:
        located = locate(spec, hint=HINT)
        read = read_weights(str(located.path), hint=HINT)
        network = _filled(read, str(located.path))
        source, digest = located.source, read.digest
    return Pretrained(freeze(network, device, torch_dtype(dtype)), source, digest)


def _filled(read: Weights, path: str) -> nn.Module:
    """The network that a checkpoint fills."""
    if _VIT.marker not in read.tensors:
        raise ModelError(f"{read.source} is no checkpoint of {NAME} over ViT-MAE; {HINT}")
    rest = {
        name: tensor
        for name, tensor in without_prefix(read.tensors, "model.").items()
        if not name.startswith(_ENCODER)
    }
    try:
        width, encoder = rest["neck.0.weight"].shape[:2]
        narrow = len(rest["mask_decoder.class_mlp.layers.2.bias"])
    except KeyError as error:
        raise ModelError(f"{read.source} does not fit {NAME}: it lacks {error}; {HINT}") from None
    convs = sum(bool(re.match(r"mask_decoder\.spatial_convs\.\d+\.weight", n)) for n in rest)
    with torch.device("meta"):
        network = LabelAnythingNetwork(
            nn.Identity(), Sizes(encoder, width, narrow, (convs + 1) // 2)
        )
    fill(network, Weights(rest, read.source, read.digest), name=NAME)
    vit = architecture("ViTModel", of=NAME)
    network.image_encoder, _, _ = read_network(vit, path, name=NAME, hint=HINT, original=_VIT)
    return network


def tiny_network() -> nn.Module:
    """The network with a ViT of one layer, random parameters large enough for clear masks."""
    import transformers

    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=64,
        patch_size=16,
        initializer_range=0.2,
    )
    network = LabelAnythingNetwork(transformers.ViTModel(config), Sizes(32, 32, 4, 3))
    with torch.no_grad():
        for part in (network.neck, network.prompt_encoder, network.mask_decoder):
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(3)
    return network
