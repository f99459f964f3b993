"""HSNet's backbone and learner with their weights: a checkpoint's, or tiny random ones."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt, field_validator
from torch import nn

from models.backbones.base import RANDOM, freeze, seeded
from models.backbones.resnet import ResNet
from models.catalog import Options
from models.errors import ModelError
from models.methods.hsnet.learner import HPNLearner
from models.methods.hsnet.levels import Backbone, bare_backbone, depths
from models.weights.pretrained import Pretrained
from models.weights.source import fill, read_weights, tensor_digest, torch_dtype

SIZE, TINY_SIZE = 400, 64
_TINY_BLOCKS, _TINY_WIDTH = (1, 1, 1, 1), 4


class HSNetOptions(Options):
    """Options of HSNet and PATNet."""

    weights: str | None = Field(
        default=None,
        description="a checkpoint that the authors' code wrote (best_model.pt), with its backbone",
    )
    random: Literal["tiny"] | None = Field(
        default=None, description="random weights of this size in its place, for tests"
    )
    size: PositiveInt | None = Field(
        default=None,
        description=f"side in pixels of the square that images are squashed to: {SIZE} or a "
        f"multiple of 32; by default {SIZE}, or {TINY_SIZE} where the weights are random",
    )

    @field_validator("size")
    @classmethod
    def _squeezes_evenly(cls, value: int | None) -> int | None:
        # Else the three levels' support dimensions may end at different sizes.
        if value is not None and value != SIZE and value % 32:
            raise ValueError(f"{value} is neither {SIZE} nor a multiple of 32")
        return value

    @property
    def side(self) -> int:
        """The side in pixels."""
        return self.size or (SIZE if self.random is None else TINY_SIZE)


class HSNetwork(nn.Module):
    """The modules of HSNet under the authors' names."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.hpn_learner = HPNLearner(depths(backbone))


def tiny_backbone() -> ResNet:
    """A ResNet of one bottleneck a stage and 4 to 128 channels."""
    return ResNet(_TINY_BLOCKS, _TINY_WIDTH)


def load_network(
    model: str,
    build: Callable[[Any], nn.Module],
    options: HSNetOptions,
    *,
    where: str,
    device: str,
    dtype: str,
) -> Pretrained:
    """A network over the backbone that its checkpoint holds.

    Args:
        model: the model's name, for messages.
        build: makes the bare network over a bare backbone.
        options: say which weights.
        where: where checkpoints come from; ends the message when there is none.
        device: a torch device.
        dtype: "fp32", "fp16" or "bf16".

    Raises:
        ModelError: for weights that are not named, missing or do not fit.
    """
    hint = f"{where} as the option weights=PATH, or the option random=tiny to try it without"
    if (options.weights is None) == (options.random is None):
        state = "has no weights" if options.weights is None else "has two sorts of weights"
        raise ModelError(f"{model} {state}: give {hint}")
    if options.weights is None:
        network = seeded(lambda: build(tiny_backbone()))
        source, digest = RANDOM, tensor_digest(network)
    else:
        read = read_weights(options.weights, hint=f"give {hint}")
        with torch.device("meta"):
            backbone = bare_backbone(read.tensors)
            if backbone is None:
                raise ModelError(
                    f"{read.source} is no checkpoint of {model}: it holds no backbone; give {hint}"
                )
            network = build(backbone)
        fill(network, read, name=model)
        source, digest = read.source, read.digest
    return Pretrained(freeze(network, device, torch_dtype(dtype)), source, digest)
