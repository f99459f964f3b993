"""Episodes as pixels and masks, and the score of the masks that are predicted for them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.evaluation.loader import Loader
from benchmarks.train.draw import TrainEpisode, Variant
from benchmarks.train.trainable import Validation
from models.geometry import Geometry

Item = tuple[int, str, Variant]


def pixels(loader: Loader, geometry: Geometry, items: Sequence[Item]) -> tuple[Tensor, Tensor]:
    """Images and masks of (class, image, variant): uint8 B×3×H×W, and float B×H×W in {0, 1}."""
    loader.prefetch_images([name for _, name, _ in items], geometry)
    images = [change.image(loader.image(name, geometry)) for _, name, change in items]
    masks = [
        change.mask(loader.support_mask(name, index, geometry)) for index, name, change in items
    ]
    return torch.stack(images), torch.stack(masks).float()


def held_out_miou(episodes: Sequence[TrainEpisode], masks: Tensor, truths: Tensor) -> Validation:
    """Mean over the episodes' classes of the IoU of each class's areas.

    Args:
        episodes: of held-out images.
        masks: predicted, B×H×W in {0, 1}.
        truths: B×H×W in {0, 1}; ignored pixels are background.
    """
    areas: dict[int, list[int]] = {}
    for episode, mask, truth in zip(episodes, masks.bool(), truths.bool(), strict=True):
        own = areas.setdefault(episode.class_index, [0, 0])
        own[0] += int((mask & truth).sum())
        own[1] += int((mask | truth).sum())
    ious = [both / max(1, either) for both, either in areas.values()]
    return Validation(sum(ious) / len(ious), "held-out mIoU")
