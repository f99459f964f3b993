"""CLIPSeg's visual prompt: `crop_blur_highlight352` of `datasets/utils.py` in timojl/clipseg."""

import torch
import torch.nn.functional as F
from torch import Tensor

_BACKGROUND = 0.1  # what is left of the background
_CONTEXT = 0.1  # how far a crop reaches over the object on each side, as a share of the object
_KERNEL, _SIGMA = 15, 3.0  # of the Gaussian blur, in pixels


def visual_prompt(image: Tensor, mask: Tensor) -> Tensor:
    """The image around an object, the background blurred and faded, as a square of the same size.

    As in the authors' code, the normalised image fades, so to the mean colour and not to black;
    the crop is filled up to a square with the same colour, and enlarged by nearest neighbour.

    Args:
        image: normalised, 3×S×S.
        mask: S×S in {0, 1}.

    Returns:
        Normalised, 3×S×S.
    """
    faded = image * mask + _BACKGROUND * blurred(image) * (1 - mask)
    top, bottom = _span(mask.any(1))
    left, right = _span(mask.any(0))
    crop = faded[:, top:bottom, left:right]
    extra = [max(crop.shape[1:]) - side for side in (crop.shape[2], crop.shape[1])]
    square = F.pad(crop, [part for side in extra for part in (side // 2, side - side // 2)])
    return F.interpolate(square[None], image.shape[1:], mode="nearest")[0]


def blurred(image: Tensor) -> Tensor:
    """A Gaussian blur with reflected borders, like OpenCV's: C×H×W, sides above 7."""
    offsets = torch.arange(_KERNEL, device=image.device) - _KERNEL // 2
    kernel = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    kernel = (kernel / kernel.sum()).to(image.dtype)
    padded = F.pad(image[:, None], (_KERNEL // 2,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1))[:, 0]


def _span(inside: Tensor) -> tuple[int, int]:
    """First and one past last True, and the context around; everything where there is none."""
    places = inside.nonzero().flatten()
    if len(places) == 0:
        return 0, len(inside)
    first, last = int(places[0]), int(places[-1]) + 1
    context = _CONTEXT * (last - first)
    return int(max(0, first - context)), int(min(len(inside), last + context))
