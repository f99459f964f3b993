"""Latents of what an epoch shows again and again, kept in memory and, if wanted, on disk."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from cachetools import LRUCache
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.train.draw import noises
from datasets_prep.runtime.whole import whole_file
from models.methods.diffews.parts import Parts

_MEMORY = 2 * 2**30
_CHUNK = 16


class LatentStore:
    """The VAE's answer to an image: mean and log-variance, in float32 on the CPU.

    Args:
        parts: whose VAE encodes.
        folder: keeps answers on disk as well, one file for each key, below a folder named by the
            VAE's digest and the dataset's.
        dataset: its digest: other datasets may have images of the same name.
    """

    def __init__(self, parts: Parts, folder: Path | None, dataset: str) -> None:
        self._vae: Any = parts.vae
        place = f"{parts.vae_digest[:16]}-{dataset[:16]}"
        self._folder = None if folder is None else folder / place
        self._kept: LRUCache[str, Tensor] = LRUCache(_MEMORY, lambda moments: moments.nbytes)

    @torch.no_grad()
    def latents(
        self, keys: Sequence[str], images: Sequence[Tensor], seeds: Sequence[int] | None
    ) -> Tensor:
        """Scaled latents: B×C×h×w.

        Args:
            keys: name the images; equal keys have equal images.
            images: 3×H×W in -1..1, of one size.
            seeds: of the noise with which latents are sampled; None for the mean.
        """
        moments = [self._known(key) for key in keys]
        missing = [index for index, known in enumerate(moments) if known is None]
        for start in range(0, len(missing), _CHUNK):
            chosen = missing[start : start + _CHUNK]
            answers = self._encode(torch.stack([images[index] for index in chosen]))
            for index, answer in zip(chosen, answers, strict=True):
                moments[index] = answer.clone(memory_format=torch.contiguous_format)
                self._keep(keys[index], moments[index])
        known = torch.stack([moment for moment in moments if moment is not None])
        mean, logvar = known.chunk(2, 1)
        if seeds is not None:
            noise = noises(seeds, tuple(mean.shape[1:]))
            mean = mean + noise * torch.exp(0.5 * logvar.clamp(-30, 20))
        return mean * float(self._vae.config.scaling_factor)

    def _encode(self, images: Tensor) -> Tensor:
        weight = next(self._vae.parameters())
        posterior = self._vae.encode(images.to(weight)).latent_dist
        return torch.cat([posterior.mean, posterior.logvar], 1).float().cpu()

    def _known(self, key: str) -> Tensor | None:
        moments = self._kept.get(key)
        if moments is None and self._folder is not None:
            moments = _read(self._file(key))
            if moments is not None:
                self._kept[key] = moments
        return moments

    def _keep(self, key: str, moments: Tensor | None) -> None:
        assert moments is not None  # noqa: S101 - narrows the type
        if moments.nbytes <= self._kept.maxsize:
            self._kept[key] = moments
        if self._folder is not None:
            with whole_file(self._file(key)) as partial:
                save_file({"moments": moments}, partial)

    def _file(self, key: str) -> Path:
        assert self._folder is not None  # noqa: S101 - narrows the type
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.safetensors"


def _read(path: Path) -> Tensor | None:
    """What an earlier run kept; a file that cannot be read is as none, and is written anew."""
    try:
        return load_file(path)["moments"] if path.is_file() else None
    except (OSError, SafetensorError, KeyError):
        return None
