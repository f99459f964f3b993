"""The common form of parity cases; see README.md."""

import io
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.segmenter import Features

State = dict[str, Tensor]
Stages = Mapping[str, Any]


class Parity(Protocol):
    """What a module of `models` has."""

    CASES: tuple[str, ...]
    SPEC: str
    TOLERANCES: Mapping[str, float]
    stages: Callable[["Case", State, Path], Stages]


@dataclass(frozen=True)
class Picture:
    """An image with a mask of its size, bool H×W."""

    image: Image.Image
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """An episode and what the original computed for it, by stage."""

    name: str
    query: Picture
    supports: tuple[Picture, ...]
    outputs: Mapping[str, NDArray[Any]]


def read_case(path: Path) -> Case:
    """Read one .npz."""
    flat = dict(np.load(path))
    count = sum(key.startswith("support") and key.endswith(".jpeg") for key in flat)
    supports = tuple(_picture(flat, f"support{index}") for index in range(count))
    outputs = {}
    for key, value in flat.items():
        name = key.removeprefix("out.")
        if name == key or name.endswith(".shape"):
            continue
        if name.endswith(".bits"):
            name = name.removesuffix(".bits")
            value = _bits(value, flat[f"out.{name}.shape"])
        outputs[name] = value
    return Case(path.stem, _picture(flat, "query"), supports, outputs)


def _picture(flat: Mapping[str, NDArray[Any]], name: str) -> Picture:
    image = Image.open(io.BytesIO(flat[f"{name}.jpeg"].tobytes())).convert("RGB")
    top, left, height, width = map(int, flat[f"{name}.crop"])
    mask = _bits(flat[f"{name}.mask"], flat.get(f"{name}.size", np.array([height, width])))
    image = image.crop((left, top, left + width, top + height))
    if image.size != (mask.shape[1], mask.shape[0]):
        image = image.resize((mask.shape[1], mask.shape[0]), Image.Resampling.BICUBIC)
    return Picture(image, mask)


def _bits(packed: NDArray[Any], shape: NDArray[Any]) -> NDArray[np.bool_]:
    return np.unpackbits(packed)[: int(np.prod(shape))].reshape(shape).astype(bool)


def read_state(path: Path) -> State:
    """The state dict of a spec: what a tensor holds follows from its name, shape and the salt."""
    spec = json.loads(path.read_text())
    state = {}
    for name, (shape, dtype) in spec["tensors"].items():
        kind = getattr(torch, dtype)
        if name in spec["overrides"]:
            state[name] = torch.tensor(spec["overrides"][name], dtype=kind).reshape(shape)
        elif "int" in dtype:
            state[name] = torch.zeros(shape, dtype=kind)
        else:
            factor = next((factor for part, factor in spec["scales"] if part in name), 1.0)
            values = _drawn(name, tuple(shape), spec["salt"]) * np.float32(factor)
            state[name] = torch.from_numpy(np.asarray(values, dtype=np.float32))
    return state


def _drawn(name: str, shape: tuple[int, ...], salt: int) -> NDArray[np.float32]:
    """Random values in a range that suits what the name says."""
    generator = np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), salt]))
    draw = generator.standard_normal(shape, dtype=np.float32)
    last = name.rsplit(".", 1)[-1]
    if last == "pos_embed" and len(shape) == 4:  # smooth, so that masks become blobs
        rows, columns = (np.linspace(0, np.pi, side, dtype=np.float32) for side in shape[1:3])
        waves = generator.standard_normal((6, 4, shape[3]), dtype=np.float32)
        return np.sum(
            [
                wave[0]
                * np.cos((1 + index % 3) * rows[:, None, None] + wave[1])
                * np.cos((1 + index // 2) * columns[None, :, None] + wave[2])
                for index, wave in enumerate(waves)
            ],
            axis=0,
        )[None]
    if last == "running_var":
        return np.abs(draw) + np.float32(0.5)
    if last == "running_mean":
        return draw * np.float32(0.2)
    if len(shape) <= 1:
        return 1 + 0.2 * draw if last == "weight" else 0.1 * draw
    values = draw * np.float32((2.0 / int(np.prod(shape[1:]))) ** 0.5)
    if "trans_conv" in name and shape[2:] == (4, 4):  # smooth, as a trained one is
        values = values[:, :, :1, :1] + 0.1 * values
    return values


def encoded(model: Any, case: Case) -> tuple[Features, list[Features], list[Features]]:
    """The query's features, the supports', and what the model makes of these with their masks."""
    geometry = model.geometry
    features, encodings = [], []
    for picture in (case.query, *case.supports):
        image = geometry.image(picture.image)[None].float() / 255
        features.append(model.encode_image(image)[0])
        mask = geometry.mask(picture.mask.view(np.uint8))[None].float()
        uses = features[-1:] if model.support_uses_features else []
        encodings.append(model.encode_support(image, mask, uses)[0])
    return features[0], features[1:], encodings[1:]


def prediction(model: Any, case: Case, scores: Tensor) -> Tensor:
    """The mask at the query's own size, bool H×W, from scores H×W."""
    size = case.query.mask.shape
    mask: Tensor = model.binarize(model.geometry.scores(scores[None], size, size))[0]
    return mask


def difference(got: Any, expected: NDArray[Any]) -> float:
    """How far a stage is off: the share of elements that differ, or of the greatest magnitude."""
    values = np.asarray(got)
    if expected.ndim == 1 and values.size > expected.size:  # a large stage is kept in equal steps
        values = values.flatten()[:: -(-values.size // expected.size)]
    assert values.shape == expected.shape, f"{values.shape} is not {expected.shape}"
    if expected.dtype == bool:
        return float((values != expected).mean())
    gap = np.abs(values.astype(np.float64) - expected.astype(np.float64)).max()
    return float(gap / max(float(np.abs(expected.astype(np.float64)).max()), 1e-12))
