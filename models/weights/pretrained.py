"""Networks of the transformers library: published weights, or seeded tiny ones for tests."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from pydantic import Field
from torch import Tensor, nn

from models.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RANDOM, freeze, seeded
from models.catalog import Card, Options, Tiny
from models.errors import ModelError
from models.segmenter import BaseSegmenter
from models.weights.networks import architecture, read_network
from models.weights.original import Original
from models.weights.source import network_key, tensor_digest, torch_dtype


class PretrainedOptions(Options):
    """Options of a model that is nothing but a pretrained network."""

    weights: str | None = Field(
        default=None,
        description="a folder with config.json and model.safetensors, a hub id "
        "owner/name[@revision], or the authors' own file",
    )
    random: Tiny = None


@dataclass(frozen=True)
class Pretrained:
    """A frozen network with its origin.

    Attributes:
        network: the module, on its device, in eval mode and without gradients.
        source: where its weights came from, or "random".
        digest: sha256 of the weights file, or over the tensors where they are random.
    """

    network: Any = field(repr=False)
    source: str
    digest: str

    @property
    def key(self) -> str:
        """Names what the network computes, in the keys of image features."""
        return network_key(self.network, self.digest)

    @property
    def random(self) -> bool:
        """True where the weights are random, so that no number may be compared."""
        return self.source == RANDOM

    @property
    def parameters(self) -> int:
        """Number of parameters of the whole network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def card(self, card: Card) -> Card:
        """The model's card with what these weights bring."""
        if not self.random:
            return replace(card, weights=self.source)
        return replace(
            card,
            weights=RANDOM,
            licence="",
            training_data="none",
            trained_on=(),
            sees_test_classes={"*": "no"},
        )


def load_pretrained(
    model: str,
    network: str,
    published: str,
    tiny: Callable[[], nn.Module],
    *,
    weights: str | None,
    random: str | None,
    device: str,
    dtype: str,
    option: str = "weights",
    original: Original | None = None,
) -> Pretrained:
    """A network with the weights that a user named.

    Args:
        model: the model's name, for messages.
        network: the class in `transformers`.
        published: hub id of the usual weights, for messages; none are fetched unless asked for.
        tiny: builds the network at a tiny size.
        weights: see `PretrainedOptions`.
        random: see `PretrainedOptions`.
        device: a torch device.
        dtype: "fp32", "fp16" or "bf16".
        option: what the model calls the option `weights`, for messages.
        original: how the authors' own files are read.

    Raises:
        ModelError: for weights that are not named, missing or do not fit, both `weights` and
            `random`, or a transformers that is too old.
    """
    cls = architecture(network, of=model)
    mend = hint(published, option, original.files if original else None)
    spec = chosen_weights(model, mend, weights, random, option)
    if spec == RANDOM:
        module = seeded(tiny)
        source, digest = RANDOM, tensor_digest(module)
    else:
        module, source, digest = read_network(cls, spec, name=model, hint=mend, original=original)
    return Pretrained(freeze(module, device, torch_dtype(dtype)), source, digest)


class OverNetwork(BaseSegmenter):
    """A segmenter over one frozen network, which says in results what its weights are."""

    card: Card

    def __init__(self, pretrained: Pretrained, **config: object) -> None:
        """Take what a result tells of the network.

        Args:
            pretrained: the network.
            config: the options that a result tells beside the weights.
        """
        self.config = {"weights": pretrained.source, **config}
        self.weights_digest = pretrained.digest
        self.parameters = pretrained.parameters
        self.comparable = not pretrained.random
        self.card = pretrained.card(type(self).card)


class OverTransformers(OverNetwork):
    """A segmenter over one network of the transformers library.

    Attributes:
        name: the model's name, for messages.
        architecture: the network's class in `transformers`.
        published: hub id of the usual weights, for messages; none are fetched unless asked for.
        tiny_network: builds the network at a tiny size.
        original: how the authors' own files are read.
    """

    Options: ClassVar[type[PretrainedOptions]] = PretrainedOptions
    name: ClassVar[str]
    architecture: ClassVar[str]
    published: ClassVar[str]
    tiny_network: ClassVar[Callable[[], nn.Module]]
    original: ClassVar[Original | None] = None

    @classmethod
    def load(cls, options: PretrainedOptions, *, device: str = "cpu", dtype: str = "fp32") -> Self:
        """The model with the weights that `options` name; its other options go to its class.

        Raises:
            ModelError: for weights that are not named, missing or do not fit.
        """
        return cls.load_with(cls.original, options, device=device, dtype=dtype)

    @classmethod
    def load_with(
        cls, original: Original | None, options: PretrainedOptions, *, device: str, dtype: str
    ) -> Self:
        """As `load`, but the authors' files are read as `original` says."""
        given = options.model_dump()
        pretrained = load_pretrained(
            cls.name,
            cls.architecture,
            cls.published,
            cls.tiny_network,
            weights=given.pop("weights"),
            random=given.pop("random"),
            device=device,
            dtype=dtype,
            original=original,
        )
        return cls(pretrained, **given)


def chosen_weights(
    model: str, mend: str, weights: str | None, random: str | None, option: str = "weights"
) -> str:
    """What to load: `weights`, or `RANDOM`; `mend`, see `hint`, ends the message of neither.

    Raises:
        ModelError: if the user gave neither or both.
    """
    if weights is not None and random is not None:
        raise ModelError(f"{model}: give the option {option} or random, not both")
    if random is not None:
        return RANDOM
    if weights is None:
        raise ModelError(f"{model} has no weights: {mend}")
    return weights


def hint(published: str, option: str = "weights", files: str | None = None) -> str:
    """How to get weights, for the end of a message.

    Args:
        published: hub id of the usual ones.
        option: what names them.
        files: what the authors' own files are called, where they are taken too.
    """
    kinds = "a folder with config.json and model.safetensors, " + (
        f"a hub id or the authors' file ({files})," if files else "or a hub id,"
    )
    return (
        f"give {kinds} as the option {option}=PATH|OWNER/NAME[@REVISION] (usually {published}), "
        "or the option random=tiny to try it without"
    )


def normalised(images: Tensor, like: Tensor) -> Tensor:
    """Images in 0..1 with ImageNet's mean and deviation, on the device and in the dtype of `like`.

    Args:
        images: float, ...×3×H×W.
        like: a tensor, usually a parameter.
    """
    images = images.to(like.device)
    mean = images.new_tensor(IMAGENET_MEAN)[:, None, None]
    std = images.new_tensor(IMAGENET_STD)[:, None, None]
    return ((images - mean) / std).to(like.dtype)
