"""Networks of the transformers library: published weights, or seeded tiny ones for tests."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from safetensors import SafetensorError
from torch import Tensor, nn

from models.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RANDOM, freeze, seeded
from models.catalog import Card, Options
from models.errors import ModelError
from models.weights import file_digest, locate, tensor_digest, torch_dtype


class PretrainedOptions(Options):
    """Options of a model that is nothing but a pretrained network."""

    weights: str | None = Field(
        default=None,
        description="a folder with config.json and model.safetensors, or a hub id "
        "owner/name[@revision]",
    )
    random: Literal["tiny"] | None = Field(
        default=None, description="random weights of this size in their place, for tests"
    )


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
            sees_test_classes={"*": "no"},
        )


def load_pretrained(
    model: str,
    architecture: str,
    published: str,
    tiny: Callable[[], nn.Module],
    *,
    weights: str | None,
    random: str | None,
    device: str,
    dtype: str,
) -> Pretrained:
    """A network with the weights that a user named.

    Args:
        model: the model's name, for messages.
        architecture: the class in `transformers`.
        published: hub id of the usual weights, for messages; none are fetched unless asked for.
        tiny: builds the network at a tiny size.
        weights: see `PretrainedOptions`.
        random: see `PretrainedOptions`.
        device: a torch device.
        dtype: "fp32", "fp16" or "bf16".

    Raises:
        ModelError: for weights that are not named, missing or do not fit, both `weights` and
            `random`, or a transformers without the class.
    """
    spec = chosen_weights(model, published, weights, random)
    if spec == RANDOM:
        network = seeded(tiny)
        source, digest = RANDOM, tensor_digest(network)
    else:
        network, source, digest = _read(model, architecture, published, spec)
    return Pretrained(freeze(network, device, torch_dtype(dtype)), source, digest)


def chosen_weights(model: str, published: str, weights: str | None, random: str | None) -> str:
    """What to load: `weights`, or `RANDOM`.

    Raises:
        ModelError: if the user gave neither or both.
    """
    if weights is not None and random is not None:
        raise ModelError(f"{model}: give the option weights or random, not both")
    if random is not None:
        return RANDOM
    if weights is None:
        raise ModelError(f"{model} has no weights: {hint(published)}")
    return weights


def hint(published: str) -> str:
    """How to get weights, for the end of a message."""
    return f"give {_where(published)}, or the option random=tiny to try it without"


def _where(published: str) -> str:
    """What the option `weights` takes."""
    return (
        "a folder with config.json and model.safetensors, or a hub id, as the option "
        f"weights=PATH|OWNER/NAME[@REVISION] (usually {published})"
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


def _read(model: str, architecture: str, published: str, spec: str) -> tuple[nn.Module, str, str]:
    """A network with published weights, where they came from and their digest."""
    import transformers

    cls = getattr(transformers, architecture, None)
    if cls is None:
        raise ModelError(
            f"{model} needs a transformers with {architecture}, which {transformers.__version__} "
            "lacks; upgrade with: pip install 'transformers>=5'"
        )
    if Path(spec).is_file():
        raise ModelError(
            f"{spec} is one file, and the config.json beside it is needed too; "
            f"give {_where(published)}"
        )
    located = locate(spec, hint=hint(published))
    config = locate(spec, hint=hint(published), filenames=("config.json",)).path
    kind = str(json.loads(config.read_text()).get("model_type"))
    # The hub calls one set of weights sam2 or sam2_video.
    if kind.split("_")[0] != cls.config_class.model_type.split("_")[0]:
        raise ModelError(
            f"{located.source} are weights of {kind}, not of {model}; {hint(published)}"
        )
    with _quiet():
        try:
            network, info = cls.from_pretrained(
                config.parent,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                use_safetensors=located.path.suffix == ".safetensors",
            )
        except (OSError, RuntimeError, SafetensorError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"cannot read {located.source} for {model}: {reason}") from error
    wrong = sorted(info["missing_keys"]) + sorted(name for name, *_ in info["mismatched_keys"])
    if wrong:
        raise ModelError(
            f"{located.source} does not fit {model}: {len(wrong)} tensors are missing or of "
            f"another shape ({', '.join(wrong[:3])})"
        )
    return network, located.source, file_digest(located.path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and loading reports: what matters becomes an error."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
