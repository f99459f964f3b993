"""SANSA's adapters in SAM 2's image encoder, and the files that hold them.

After `models/sansa/adapter.py` of ClaudiaCuttano/SANSA, which follows AdaptFormer.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from models.errors import ModelError
from models.weights.source import Weights, fill

_SCALE = 0.1  # of what an adapter adds
_NAME = re.compile(r"^sam\.image_encoder\.trunk\.blocks\.(\d+)\.adapter\.")
_COUNTED = re.compile(r"\.total_(params|ops)$")  # what a profiler leaves among the tensors
_DOWN = "down_proj.weight"


class Adapter(nn.Module):
    """A bottleneck on tokens: normalise, narrow, ReLU, widen, scale.

    Args:
        width: channels of the tokens.
        bottleneck: channels in between.
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.adapter_layer_norm_before = nn.LayerNorm(width)
        self.down_proj = nn.Linear(width, bottleneck)
        self.up_proj = nn.Linear(bottleneck, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """What is added to the tokens, ...×width."""
        narrow = self.down_proj(self.adapter_layer_norm_before(tokens)).relu()
        added: Tensor = _SCALE * self.up_proj(narrow)
        return added


class Adapted(nn.Module):
    """A block's norm and perceptron, with an adapter beside both."""

    def __init__(self, norm: nn.Module, perceptron: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.perceptron = perceptron
        self.adapter = adapter

    def forward(self, tokens: Tensor) -> Tensor:
        """What the block adds to its tokens after attention."""
        added: Tensor = self.perceptron(self.norm(tokens)) + self.adapter(tokens)
        return added


def insert(network: Any, adapters: nn.ModuleDict) -> None:
    """Put adapters into transformers' Sam2VideoModel, in place.

    Args:
        network: the model.
        adapters: by the number of their block, as text.
    """
    blocks = network.vision_encoder.backbone.blocks
    for number, adapter in adapters.items():
        block = blocks[int(number)]
        block.mlp = Adapted(block.layer_norm2, block.mlp, adapter)
        block.layer_norm2 = nn.Identity()


def blank(network: Any, bottlenecks: Mapping[int, int]) -> nn.ModuleDict:
    """Adapters that fit the blocks of a Sam2VideoModel.

    Args:
        network: the model.
        bottlenecks: number of a block to its adapter's channels in between.
    """
    blocks = network.vision_encoder.backbone.blocks
    return nn.ModuleDict(
        {str(n): Adapter(blocks[n].dim_out, width) for n, width in bottlenecks.items()}
    )


def read_adapters(network: Any, weights: Weights, hint: str) -> nn.ModuleDict:
    """The adapters of a file that the authors' code wrote.

    Their stages (`--adaptformer_stages`) are read from the names, and their size
    (`--channel_factor`) from the shapes.

    Raises:
        ModelError: if it holds none, or they do not fit this SAM 2.
    """
    tensors = {k: t for k, t in weights.tensors.items() if not _COUNTED.search(k)}
    bottlenecks = {
        int(match[1]): len(tensor)
        for name, tensor in tensors.items()
        if (match := _NAME.match(name)) and name.endswith(_DOWN)
    }
    if not bottlenecks:
        raise ModelError(f"{weights.source} holds no adapters of SANSA; {hint}")
    depth = len(network.vision_encoder.backbone.blocks)
    if max(bottlenecks) >= depth:
        raise ModelError(
            f"{weights.source} has an adapter for block {max(bottlenecks)}, but this SAM 2 has "
            f"{depth} blocks; give the SAM 2 that it was trained on as the option sam2"
        )
    adapters = blank(network, bottlenecks)
    named = {_NAME.sub(r"\1.", name): tensor for name, tensor in tensors.items()}
    fill(adapters, Weights(named, weights.source, weights.digest), name="sansa")
    return adapters
