"""A dataset of a few dozen tiny images and a segmenter simple enough to state twice."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.config.schema import BenchConfig
from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BuilderOptions, Content, Splits, Workspace
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.folds import FoldSet, contiguous, split
from datasets_prep.prepared.prepare import PrepareOptions, prepare
from datasets_prep.prepared.records import ImageRecord, encode_png, label_record
from models.catalog import Card, Options
from models.geometry import Geometry, Squash
from models.segmenter import BaseSegmenter, Features

CLASSES = ("disc", "bar", "corner", "stripe")


class TinyOptions(BuilderOptions):
    images: int = 24


class Tiny:
    """Four classes in two folds; coloured rectangles on noise, sizes that differ, 255 borders."""

    name = "tiny"
    dataset = "tiny"
    summary = "a tiny dataset for tests"
    version = 1
    Options = TinyOptions

    def __init__(self, options: TinyOptions = TinyOptions()) -> None:  # noqa: B008
        self.options = options

    def sources(self) -> Sequence[SourceFile]:
        return ()

    def describe(self) -> Mapping[str, object]:
        return {"images": self.options.images}

    def disk_needed(self) -> int:
        return 0

    def build(self, workspace: Workspace) -> Content:
        return Content(CLASSES, self._images(), self._folds, self.options.images)

    def _images(self) -> Iterator[ImageRecord]:
        for number in range(self.options.images):
            yield make_image(number)

    def _folds(self, areas: Areas, splits: Splits) -> FoldSet:
        pairs = [(image, c) for image in areas for c in sorted(areas[image])]
        return FoldSet(split(contiguous(len(CLASSES), 2), pairs, pairs))


def make_image(number: int) -> ImageRecord:
    """Image `number`: two classes, one bright box each, ringed by ignored pixels."""
    random = np.random.RandomState(number)
    height, width = (24, 32) if number % 3 else (32, 20)
    pixels = random.randint(0, 96, (height, width, 3)).astype(np.uint8)
    labels = np.zeros((height, width), np.uint8)
    for class_index in {number % 4, (number // 4) % 4}:
        top, left = random.randint(1, height - 11), random.randint(1, width - 11)
        labels[top - 1 : top + 10, left - 1 : left + 10] = 255
        labels[top : top + 9, left : left + 9] = class_index + 1
        pixels[top : top + 9, left : left + 9, class_index % 3] += np.uint8(120)
    sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
    return label_record(f"img_{number:03d}", encode_png(pixels), sha256, "all", labels)


def tiny_dataset(
    data_root: Path, images: int = 24, shots: Sequence[int] = (1, 2)
) -> PreparedDataset:
    """Prepare the dataset below `data_root`."""
    return prepare(Tiny(TinyOptions(images=images)), PrepareOptions(data_root, shots=tuple(shots)))


class TinyModelOptions(Options):
    gain: float = 1.0


class ColourModel(BaseSegmenter):
    """Compares each pixel's colour with the supports' mean foreground and background colour."""

    Options = TinyModelOptions
    card = Card("Colour", "mean colours")
    geometry: Geometry = Squash(16)
    support_reads_pixels = False
    batch_size = 3

    def __init__(self, gain: float = 1.0) -> None:
        self.config = {"gain": gain}
        self.gain = gain
        self.image_key = "colour"

    @classmethod
    def load(cls, options: TinyModelOptions, *, device: str, dtype: str) -> "ColourModel":
        return cls(options.gain)

    def encode_image(self, images: Tensor) -> list[Features]:
        return [Features({"pixels": image.clone()}) for image in images]

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        return [
            Features({"fg": self._mean(f["pixels"], m), "bg": self._mean(f["pixels"], 1 - m)})
            for f, m in zip(features, masks, strict=True)
        ]

    def segment(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]]
    ) -> Tensor:
        scores = []
        for query, own in zip(queries, supports, strict=True):
            fg = torch.stack([s["fg"] for s in own]).mean(0)[:, None, None]
            bg = torch.stack([s["bg"] for s in own]).mean(0)[:, None, None]
            distance = (query["pixels"] - bg).square() - (query["pixels"] - fg).square()
            scores.append(self.gain * distance.sum(0))
        return torch.stack(scores)

    @staticmethod
    def _mean(pixels: Tensor, mask: Tensor) -> Tensor:
        return (pixels * mask).sum((1, 2)) / mask.sum().clamp(min=1)


def tiny_config(root: Path, **changes: object) -> BenchConfig:
    """A matrix of the colour model on the tiny dataset, both folds, 1 and 2 shots."""
    base: dict[str, object] = {
        "data_root": root / "data",
        "results_root": root / "results",
        "device": "cpu",
        "datasets": [{"name": "tiny", "shots": [1, 2]}],
        "models": [{"name": "colour", "model": "tests.tiny:ColourModel"}],
    }
    return BenchConfig.model_validate({**base, **changes})
