"""Reading checkpoints in the released layout, strictly: what does not fit is an error."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.errors import ModelError
from models.weights.source import Weights, file_digest, fill, read_tensors

WEIGHTS = "diffusion_pytorch_model.safetensors"
PICKLED = "diffusion_pytorch_model.bin"  # as diffusers wrote it once; read as tensors alone
_FILE_NAME = re.compile(r"\w[\w.-]*")
_TOGETHER = 64
UNREADABLE = (OSError, ValueError, KeyError, SafetensorError)

# Names that diffusers gave the attention of Stable Diffusion's VAE before 0.18.
_OLD_ATTENTION = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of one part of a checkpoint.

    Raises:
        ModelError: if the part is missing or its config is unreadable.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"no {path}: a checkpoint holds vae, text_encoder and unet folders")
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON ({error}); fetch the checkpoint again") from None
    if not isinstance(config, dict):
        raise ModelError(f"{path} is not a JSON object; fetch the checkpoint again")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The files of one part's weights, one or several shards; safetensors where there are any.

    Raises:
        ModelError: if there is none.
    """
    for name in (WEIGHTS, PICKLED):
        if found := _files_called(folder, name):
            return found
    raise ModelError(f"no {folder / WEIGHTS}, nor {PICKLED}: the checkpoint is incomplete")


def _files_called(folder: Path, name: str) -> list[Path]:
    index = folder / f"{name}.index.json"
    if index.is_file():
        try:
            names = set(json.loads(index.read_bytes())["weight_map"].values())
        except (*UNREADABLE, AttributeError, TypeError, RecursionError) as error:
            raise ModelError(f"{index} is not a shard index: {error!r}") from None
        if not all(isinstance(name, str) and _FILE_NAME.fullmatch(name) for name in names):
            raise ModelError(f"{index} names shards that are no files beside it")
        return [folder / name for name in sorted(names)]
    single = folder / name
    return [single] if single.is_file() else []


def part_folder(folder: Path, name: str) -> Path:
    """Where a part lies: in `folder`, or in its subfolder `name`, where diffusers looks too."""
    if not (folder / "config.json").is_file() and (folder / name / "config.json").is_file():
        return folder / name
    return folder


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a part, of safetensors without reading them.

    Raises:
        ModelError: if a file is missing or damaged.
    """
    found: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        if path.suffix != ".safetensors":
            found |= {name: tuple(tensor.shape) for name, tensor in read_tensors(path).items()}
            continue
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 - it is no mapping
                    found[name] = tuple(file.get_slice(name).get_shape())
        except UNREADABLE as error:
            raise _damaged(path, error) from None
    return found


def tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a file of weights, as a copy that does not hold the file.

    Raises:
        ModelError: if the file is missing, truncated, or holds anything but tensors.
    """
    if path.suffix != ".safetensors":
        yield from read_tensors(path).items()
        return
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
        for start in range(0, len(names), _TOGETHER):
            # Opened anew, so that the file's mapped pages do not add up beside the copies.
            with safe_open(path, "pt") as file:
                for name in names[start : start + _TOGETHER]:
                    yield name, file.get_tensor(name).clone()
    except UNREADABLE as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"cannot read {path} ({error}): it is truncated or not safetensors; fetch it again"
    )


def load_part(
    build: Callable[[], Any], folder: Path, dtype: torch.dtype | None, old_names: bool = False
) -> tuple[Any, str]:
    """Build a module without memory and give it the weights in `folder`.

    Args:
        build: returns the module; runs on the meta device.
        folder: one part of a checkpoint, which must hold exactly the module's state dict.
        dtype: of the loaded weights; None leaves each as it is stored.
        old_names: accept the attention names of diffusers before 0.18.

    Returns:
        The module, frozen and in evaluation mode, and `digest_of` its files.

    Raises:
        ModelError: if the weights cannot be read or are not this module's.
    """
    files = weight_files(folder)
    with torch.device("meta"):
        module = build()
    state = {
        _renamed(name) if old_names else name: tensor.to(dtype)
        for path in files
        for name, tensor in tensors(path)
    }
    weights = Weights(state, str(folder), digest_of(files))
    fill(module, weights, name="the model of its config.json")
    return module.requires_grad_(False).eval(), weights.digest


def digest_of(files: Sequence[Path]) -> str:
    """The sha256 of one file, or of the digests of several."""
    return joined([file_digest(path) for path in files])


def joined(digests: Sequence[str]) -> str:
    """One digest for several; a single one stays what it is."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _renamed(name: str) -> str:
    if ".attentions." in name:
        for old, new in _OLD_ATTENTION.items():
            name = name.replace(old, new)
    return name
