"""DINOv2 (Oquab et al. 2023) and DINOv3 (Siméoni et al. 2025) through transformers.

The patch tokens can be read after the final layer norm (`norm`), before it (`prenorm`, "x_prenorm"
in the original code; Matcher and GF-SAM use it), and after any block (`block9`), with the final
norm too if wanted (`block9-norm`). The class and register tokens are left out.
"""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.backbones.base import RANDOM, Backbone, choose_layers, freeze, layer_table, seeded
from models.backbones.dino_names import DINOV2, DINOV3
from models.errors import ModelError
from models.weights.networks import architecture, read_network
from models.weights.source import tensor_digest


@dataclass(frozen=True)
class Variant:
    """One size of one family.

    Attributes:
        name: the backbone's name.
        repo: hub id of the published weights; None for the tiny ones, which are always random.
        width: channels.
        depth: transformer layers.
        heads: attention heads.
        patch: pixels per patch side.
        image_size: side the position embeddings were made for, in pixels.
        registers: register tokens.
        licence: of the weights.
        training_data: what the weights were trained on.
    """

    name: str
    repo: str | None
    width: int
    depth: int
    heads: int
    patch: int
    image_size: int
    registers: int
    licence: str
    training_data: str

    @property
    def architecture(self) -> Any:
        """The class in transformers; only DINOv3 has register tokens here.

        Raises:
            ModelError: if the installed transformers is too old for it.
        """
        return architecture("DINOv3ViTModel" if self.registers else "Dinov2Model", of=self.name)

    def config(self) -> Any:
        """The configuration of the network."""
        sizes: dict[str, Any] = {
            "hidden_size": self.width,
            "num_hidden_layers": self.depth,
            "num_attention_heads": self.heads,
            "patch_size": self.patch,
            "image_size": self.image_size,
        }
        if self.registers:
            sizes |= {"intermediate_size": 4 * self.width, "num_register_tokens": self.registers}
        return self.architecture.config_class(**sizes)

    def network(self) -> nn.Module:
        """The bare network with random weights."""
        network: nn.Module = self.architecture(self.config())
        return network


# What makes the network that a variant's name promises, and not the shapes of its tensors alone.
_FIXED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "patch_size")


def _pretrained(variant: Variant, spec: str) -> tuple[nn.Module, str, str]:
    """A network with published weights, where they came from and their digest."""
    hint = (
        f"give a folder with config.json and model.safetensors of {variant.repo or 'the network'}, "
        "that file alone, the authors' own file (dinov2_vit*14_pretrain.pth or "
        "dinov3_vit*_pretrain_*.pth), or a hub id, as the option weights=PATH|OWNER/NAME[@REVISION]"
    )
    wanted = variant.config()
    network, source, digest = read_network(
        variant.architecture,
        spec,
        name=variant.name,
        hint=hint,
        config=wanted,
        original=DINOV3 if variant.registers else DINOV2,
    )
    found: Any = network.config
    for name in _FIXED:
        own, right = getattr(found, name), getattr(wanted, name)
        if own != right:
            raise ModelError(f"{source} is no {variant.name}: its {name} is {own}, not {right}")
    return network, source, digest


def _build(
    variant: Variant,
    weights: str | None,
    layer: str | None,
    *,
    device: str,
    dtype: torch.dtype,
) -> Backbone:
    """The backbone of one variant; usually `norm` is read.

    Raises:
        ModelError: for an unknown layer, or weights that are missing or do not fit.
    """
    blocks = [f"block{n}{norm}" for n in range(1, variant.depth + 1) for norm in ("", "-norm")]
    read = ("norm", "prenorm", *blocks)
    table = layer_table(*((name, variant.width, variant.patch) for name in read))
    chosen = choose_layers(variant.name, table, layer, "norm")
    spec = weights or variant.repo or RANDOM
    if spec == RANDOM:
        network, source = seeded(variant.network), RANDOM
        digest = tensor_digest(network)
    else:
        network, source, digest = _pretrained(variant, spec)
    freeze(network, device, dtype)
    names = [layer.name for layer in chosen]
    final: Any = getattr(network, "layernorm", None) or network.norm

    def extract(images: Tensor) -> list[Tensor]:
        rows, columns = (side // variant.patch for side in images.shape[-2:])
        output = network(images, output_hidden_states=names != ["norm"])

        def tokens(name: str) -> Tensor:
            if name == "norm":
                return output.last_hidden_state  # type: ignore[no-any-return]
            if name == "prenorm":
                return output.hidden_states[-1]  # type: ignore[no-any-return]
            block, _, norm = name.removeprefix("block").partition("-")
            state = output.hidden_states[int(block)]
            return final(state) if norm else state  # type: ignore[no-any-return]

        patches = (tokens(name)[:, -rows * columns :].transpose(1, 2) for name in names)
        return [part.reshape(len(images), -1, rows, columns) for part in patches]

    return Backbone(
        variant.name,
        network,
        chosen,
        extract,
        digest,
        source,
        variant.licence,
        variant.training_data,
    )


_V2 = (14, 518, 0, "Apache-2.0", "LVD-142M images, no labels")
_V3 = (16, 224, 4, "DINOv3 licence", "LVD-1689M images, no labels")
_TINY = ("none", "none")

dinov2_tiny = functools.partial(_build, Variant("dinov2-tiny", None, 32, 2, 4, 14, 56, 0, *_TINY))
dinov2_small = functools.partial(
    _build, Variant("dinov2-small", "facebook/dinov2-small", 384, 12, 6, *_V2)
)
dinov2_base = functools.partial(
    _build, Variant("dinov2-base", "facebook/dinov2-base", 768, 12, 12, *_V2)
)
dinov2_large = functools.partial(
    _build, Variant("dinov2-large", "facebook/dinov2-large", 1024, 24, 16, *_V2)
)
dinov3_tiny = functools.partial(_build, Variant("dinov3-tiny", None, 32, 2, 4, 16, 64, 4, *_TINY))
dinov3_small = functools.partial(
    _build, Variant("dinov3-small", "facebook/dinov3-vits16-pretrain-lvd1689m", 384, 12, 6, *_V3)
)
dinov3_base = functools.partial(
    _build, Variant("dinov3-base", "facebook/dinov3-vitb16-pretrain-lvd1689m", 768, 12, 12, *_V3)
)
dinov3_large = functools.partial(
    _build, Variant("dinov3-large", "facebook/dinov3-vitl16-pretrain-lvd1689m", 1024, 24, 16, *_V3)
)
