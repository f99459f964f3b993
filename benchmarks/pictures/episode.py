"""One picture of an episode: supports with masks, query, ground truth and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.evaluation.metrics import count
from benchmarks.evaluation.prompts import prompted
from benchmarks.pictures.lettering import lettering
from datasets_prep.episodes.episode import Episode
from datasets_prep.prepared.dataset import PreparedDataset

_HEIGHT, _GAP, _LABEL = 240, 8, 22  # pixels
_WIDEST = 4  # times the height; wider images are drawn less high
SUPPORT, TRUTH, PREDICTION = (255, 170, 0), (0, 190, 90), (0, 120, 255)
_IGNORED = (128, 128, 128)
_STRENGTH = 0.4  # of a mask's colour over the image
_OUTLINE = 5  # an odd number; the outline is half as wide, in pixels


@dataclass(frozen=True)
class Prediction:
    """A mask on some grid over the whole query, and who made it."""

    name: str
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class _Panel:
    label: str
    image: Image.Image


def draw(
    dataset: PreparedDataset,
    episode: Episode,
    prediction: Prediction | None = None,
    prompt: str = "mask",
) -> Image.Image:
    """The picture of one episode, panels from left to right.

    Args:
        dataset: holds the images.
        episode: what to draw.
        prediction: the mask of a model; its panel's label holds the IoU on the mask's grid.
        prompt: what models get of the supports' masks, as protocols have it.
    """
    kind = episode.class_index
    panels = []
    given = "" if prompt == "mask" else f", {prompt}"
    for number, support in enumerate(episode.supports, start=1):
        mask = support_mask(dataset, support, kind, prompt)
        image = overlay(dataset.image(support), mask, SUPPORT)
        panels.append(_Panel(f"support {number}{given}: {support}", image))
    query, truth = dataset.image(episode.query), dataset.mask(episode.query, kind)
    panels.append(_Panel(f"query: {episode.query}", _scaled(query)))
    panels.append(_Panel(f"ground truth: {dataset.classes[kind]}", overlay(query, truth, TRUTH)))
    if prediction is not None:
        iou = intersection_over_union(prediction.mask, truth)
        image = overlay(query, prediction.mask.astype(np.uint8), PREDICTION)
        panels.append(_Panel(f"{prediction.name}: IoU {100 * iou:.1f}", image))
    return _row(panels)


def support_mask(
    dataset: PreparedDataset, image_id: str, class_index: int, prompt: str
) -> NDArray[np.uint8]:
    """What models get of a support, H×W: its mask, or the prompt drawn from it, 1 foreground.

    Pixels to ignore are 255 in a mask, to be greyed, and no part of a prompt.
    """
    mask = dataset.mask(image_id, class_index)
    return mask if prompt == "mask" else prompted(mask == 1, prompt).astype(np.uint8)


def intersection_over_union(mask: NDArray[np.bool_], truth: NDArray[np.uint8]) -> float:
    """IoU in 0..1 on the grid of `mask` as runs count it: ignored pixels out, 1 if both empty."""
    if mask.shape != truth.shape:
        # torch takes its time to be imported, and native resolution does not need it.
        import torch

        from models.geometry import nearest

        height, width = mask.shape
        truth = nearest(torch.from_numpy(truth.copy()), (height, width)).numpy()
    intersection, union, _, _ = count(mask, truth)
    return intersection / union if union else 1.0


def resized(mask: NDArray[np.uint8], size: Sequence[int]) -> NDArray[np.uint8]:
    """A mask at (height, width) by nearest neighbour, to draw; runs round otherwise."""
    height, width = size
    if mask.shape == (height, width):
        return mask
    scaled = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(scaled, dtype=np.uint8)


def overlay(
    image: Image.Image, mask: NDArray[np.uint8], colour: tuple[int, int, int]
) -> Image.Image:
    """The image as large as a panel, foreground tinted and outlined, ignored pixels greyed."""
    scaled = _scaled(image)
    pixels = np.asarray(scaled, dtype=np.float32).copy()
    labels = resized(mask, (scaled.height, scaled.width))
    for value, tint in ((1, colour), (255, _IGNORED)):
        chosen = labels == value
        pixels[chosen] = (1 - _STRENGTH) * pixels[chosen] + _STRENGTH * np.array(tint)
    foreground = Image.fromarray((labels == 1).astype(np.uint8))
    inner = np.asarray(foreground.filter(ImageFilter.MinFilter(_OUTLINE)))
    pixels[(labels == 1) & (inner == 0)] = colour
    return Image.fromarray(pixels.astype(np.uint8))


def panel_size(image: Image.Image, height: int) -> tuple[int, int]:
    """(width, height) in pixels of an image in panels of `height`; less high if it is very wide."""
    width = max(1, round(image.width * height / image.height))
    widest = _WIDEST * height
    if width <= widest:
        return width, height
    return widest, max(1, round(image.height * widest / image.width))


def _scaled(image: Image.Image) -> Image.Image:
    return image.resize(panel_size(image, _HEIGHT))


def _row(panels: Sequence[_Panel]) -> Image.Image:
    """Panels side by side, each under its label."""
    labels = [lettering(panel.label, 13) for panel in panels]
    widths = [
        max(panel.image.width, round(font.getlength(label)))
        for panel, (label, font) in zip(panels, labels, strict=True)
    ]
    size = sum(widths) + _GAP * (len(panels) + 1), _HEIGHT + _LABEL + 2 * _GAP
    canvas = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(canvas)
    left = _GAP
    for panel, width, (label, font) in zip(panels, widths, labels, strict=True):
        pen.text((left, _GAP), label, fill="black", font=font)
        canvas.paste(panel.image, (left, _GAP + _LABEL))
        left += width + _GAP
    return canvas
