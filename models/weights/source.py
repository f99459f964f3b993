"""Weights from a local path or the Hugging Face hub, always with the digest of what was read.

Pickled checkpoints are read with `weights_only=True`, so that a weights file cannot run code.
"""

import argparse
import hashlib
import json
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.errors import ModelError
from models.weights.hub import refusal
from models.weights.local import local
from models.weights.trained_on import TrainedOn, header

INDEX = ".index.json"  # of weights in parts: which file has which tensor
FILENAMES = (
    "model.safetensors",
    f"model.safetensors{INDEX}",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX}",
)

_SUFFIXES = {".safetensors", ".pth", ".pt", ".bin", ".ckpt"}
_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
# Entries of a configuration that change nothing that is computed; nor do those that begin with _.
_PASSING = {"architectures", "dtype", "torch_dtype", "transformers_version"}
_SHARD = re.compile(r"[\w-][\w.-]*\.(safetensors|bin)")
_WRAPPERS = ("state_dict", "model")  # the keys under which trainers save the tensors
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Located:
    """A weights file on this machine.

    Attributes:
        path: the file.
        source: what to call it in a result: a file name, or a hub id with the commit it came from.
    """

    path: Path
    source: str


@dataclass(frozen=True)
class Weights:
    """A state dict, with where it came from and the sha256 of the file, as lower-case hex."""

    tensors: Mapping[str, Tensor]
    source: str
    digest: str


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype called "fp32", "fp16" or "bf16"."""
    if name not in _DTYPES:
        raise ModelError(f"unknown dtype {name!r}; use {', '.join(_DTYPES)}")
    return _DTYPES[name]


def locate(spec: str, *, hint: str, filenames: Sequence[str] = FILENAMES) -> Located:
    """Find a weights file.

    Args:
        spec: a file, a folder that holds one of `filenames`, or a hub id `owner/name[@revision]`.
        hint: where to get the weights; ends the message when there are none.
        filenames: the names to look for in a folder or a repository, in order of preference.

    Raises:
        ModelError: where nothing is found.
    """
    path = local(spec)
    if path is not None and path.is_file():
        return Located(path, path.name)
    if path is not None and path.is_dir():
        for name in filenames:
            if (path / name).is_file():
                return Located(path / name, f"{path.name}/{name}")
        raise ModelError(f"no {_spelled(filenames)} in the folder {spec}; {hint}")
    match = _HUB_ID.fullmatch(spec)
    if match is None or Path(spec).suffix in _SUFFIXES:
        raise ModelError(f"no weights at {spec}; {hint}")
    return _from_hub(match["repo"], match["revision"], filenames, hint)


def fetched(address: str) -> Path:
    """Where `bench models fetch` keeps a file published at an address: in torch's own cache."""
    name = address.partition("#")[0].rpartition("/")[2]
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def _from_hub(repo: str, revision: str | None, filenames: Sequence[str], hint: str) -> Located:
    """Fetch the first of `filenames` that the repository has, through the hub's own cache."""
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    spec = f"{repo}@{revision}" if revision else repo
    lacking: Exception | None = None
    for name in filenames:
        try:
            path = _hub_file(repo, name, revision)
            for part in shard_names(path) if name.endswith(INDEX) else ():
                _hub_file(repo, part, revision)
        except ModelError:
            raise
        except Exception as error:  # of many kinds, see `refusal`
            # Of a file that is not in the local cache, only the cause says why.
            absent = isinstance(error, EntryNotFoundError) and not isinstance(
                error, LocalEntryNotFoundError
            )
            if not absent and not constants.HF_HUB_OFFLINE:
                raise ModelError(f"{refusal(spec, error)}; {hint}") from error
            lacking = error
            continue
        # The cache keeps snapshots/<commit>/<file>, whatever revision was asked for.
        return Located(path, f"{repo}@{path.parent.name}")
    wanted = _spelled(filenames)
    if constants.HF_HUB_OFFLINE:
        raise ModelError(
            f"{wanted} of {spec} is not on this machine, and no connection may "
            f"be opened; fetch it without --offline: bench models fetch {spec}; or {hint}"
        ) from lacking
    raise ModelError(f"{spec} has no {wanted} on the hub; {hint}") from lacking


def _hub_file(repo: str, name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repo, name, revision=revision))


def _spelled(filenames: Sequence[str]) -> str:
    return " or ".join(name for name in filenames if not name.endswith(INDEX))


def _reason(error: Exception | None) -> str:
    """The first line of an error's message, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def shard_names(index: Path) -> tuple[str, ...]:
    """The files that an index of weights in parts names, which lie beside it.

    Raises:
        ModelError: if it is no such index.
    """
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{index} is no index of weights in parts; fetch it again") from None
    for name in names:
        if not _SHARD.fullmatch(name):
            raise ModelError(f"{index} names {name!r}, which is no file of weights beside it")
    return tuple(names)


def read_weights(spec: str, *, hint: str) -> Weights:
    """Locate a weights file (see `locate`) and read it.

    Raises:
        ModelError: where nothing is found or the file holds anything but tensors.
    """
    located = locate(spec, hint=hint)
    return Weights(read_tensors(located.path), located.source, weights_digest(located.path))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The state dict in a .safetensors file, a torch checkpoint or an index of such, on the CPU.

    A wrapping "state_dict" or "model" entry and DataParallel's `module.` prefix are removed.

    Raises:
        ModelError: for a damaged file or one that holds anything but tensors.
    """
    if path.name.endswith(INDEX):
        parts = [path.with_name(name) for name in shard_names(path)]
        return {name: tensor for part in parts for name, tensor in read_tensors(part).items()}
    content: Any
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            # Trainers save their arguments beside the tensors, in a class that only holds them.
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError(
            f"{path} is damaged or holds more than tensors, which is never loaded; "
            "download it again or save its state dict as .safetensors"
        ) from None
    except Exception as error:  # a damaged checkpoint makes torch raise anything
        raise ModelError(f"cannot read the weights {path}: {_reason(error)}") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelError(f"{path} is no state dict: it holds something beside named tensors")
    return without_prefix(content, "module.")


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors with `prefix` taken off every name, if every name has it."""
    if not all(name.startswith(prefix) for name in tensors):
        return dict(tensors)
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def fill(network: nn.Module, weights: Weights, *, name: str) -> None:
    """Put `weights` into `network` (which may be on the meta device), all names and shapes equal.

    Args:
        network: the module to fill; it takes over the tensors themselves.
        weights: what to put in.
        name: what the network is called in the message.

    Raises:
        ModelError: naming what is missing, unexpected or of another shape.
    """
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    reshaped = [k for k, t in weights.tensors.items() if k in shapes and shapes[k] != t.shape]
    fitting = {k: t for k, t in weights.tensors.items() if k not in reshaped}
    missing, unexpected = network.load_state_dict(fitting, strict=False, assign=True)
    problems = [
        f"{len(keys)} {what} ({_some(keys)})"
        for what, keys in (
            ("missing", [key for key in missing if key not in reshaped]),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if keys
    ]
    if problems:
        raise ModelError(f"{weights.source} does not fit {name}: {', '.join(problems)}")


def _some(keys: Iterable[str], limit: int = 3) -> str:
    """The first few keys."""
    names = list(keys)
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def weights_digest(path: Path) -> str:
    """The sha256 of a weights file; of an index, over the names and sha256 of its parts."""
    if not path.name.endswith(INDEX):
        return file_digest(path)
    parts = [f"{name}\0{file_digest(path.with_name(name))}\n" for name in shard_names(path)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The sha256 of a file as lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensor_digest(network: nn.Module) -> str:
    """The sha256 over the names and bytes of a network's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def network_key(network: Any, digest: str) -> str:
    """Names what a network computes, for the keys of features: weights do not say all of it.

    Args:
        network: a module; its configuration, or those of its parts, say the rest.
        digest: of its weights.
    """
    parts = (network, *network.children())
    configs = [part.config for part in parts if hasattr(part, "config")]
    plain = json.dumps(configs, default=lambda own: getattr(own, "to_dict", own.__str__)())
    lasting = json.dumps(json.loads(plain, object_hook=_lasting), sort_keys=True)
    return f"{digest[:16]}-{hashlib.sha256(lasting.encode()).hexdigest()[:8]}"


def _lasting(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what only says how and by what it was stored."""
    return {k: v for k, v in config.items() if k not in _PASSING and not k.startswith("_")}


def write_tensors(
    path: Path, state: Mapping[str, Tensor], trained_on: Sequence[TrainedOn] = ()
) -> None:
    """Write a safetensors file, whole or not at all, from tensors in any layout.

    Args:
        path: the file.
        state: the tensors by name.
        trained_on: written into the header, so that it goes wherever the file goes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    partial = path.with_name(f".{path.name}.partial")
    save_file(plain, partial, metadata={"format": "pt", **header(trained_on)})
    partial.replace(path)
