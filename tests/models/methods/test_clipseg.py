"""CLIPSeg: transformers' own forward pass, and the authors' visual prompt, step by step."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.catalog import parse_options
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.clipseg import CLIPSeg
from models.methods.clipseg.prompt import blurred, visual_prompt


def load(**options: Any) -> CLIPSeg:
    parsed: Any = parse_options("clipseg", CLIPSeg, {"random": "tiny", **options})
    return CLIPSeg.load(parsed, device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def clipseg() -> CLIPSeg:
    return load()


def episode() -> tuple[Tensor, Tensor]:
    images = torch.rand((4, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(4, 32, 32)
    for index, mask in enumerate(masks):
        mask[4 + index : 15, 6 : 20 + 2 * index] = 1
    return images, masks


def imagenet(images: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images - mean[:, None, None]) / std[:, None, None]


def test_one_shot_is_transformers_forward(clipseg: CLIPSeg) -> None:
    images, masks = episode()
    prompts = [visual_prompt(*pair) for pair in zip(imagenet(images), masks, strict=True)]
    with torch.no_grad():
        expected = clipseg.network(
            pixel_values=imagenet(images[:2]), conditional_pixel_values=torch.stack(prompts[2:])
        ).logits
    supports = clipseg.encode_support(images[2:], masks[2:], [])
    scores = clipseg.segment(clipseg.encode_image(images[:2]), [[support] for support in supports])
    assert torch.equal(clipseg.binarize(scores), expected.sigmoid() > 0.24)
    torch.testing.assert_close(scores, expected.sigmoid() - 0.24, atol=1e-5, rtol=1e-4)
    assert 0 < clipseg.binarize(scores).float().mean() < 1


def test_embeddings_of_several_supports_are_averaged(clipseg: CLIPSeg) -> None:
    images, masks = episode()
    queries, supports = clipseg.encode_image(images), clipseg.encode_support(images, masks, [])
    mean = torch.stack([support["embedding"] for support in supports[1:]]).mean(0)
    with torch.no_grad():
        expected = clipseg.network(
            pixel_values=imagenet(images[:1]), conditional_embeddings=mean[None]
        ).logits
    scores = clipseg.segment(queries[:1], [supports[1:]])
    torch.testing.assert_close(scores, expected.sigmoid() - 0.24, atol=1e-5, rtol=1e-4)


def test_the_threshold_is_a_probability(clipseg: CLIPSeg) -> None:
    images, masks = episode()
    half = load(threshold=0.5)
    scores = half.segment(half.encode_image(images[:1]), [half.encode_support(images, masks, [])])
    usual = clipseg.segment(
        clipseg.encode_image(images[:1]), [clipseg.encode_support(images, masks, [])]
    )
    torch.testing.assert_close(usual - scores, torch.full_like(scores, 0.26))
    with pytest.raises(ModelError, match="threshold"):
        load(threshold=1.0)


# The visual prompt, after `img_preprocess` and its helpers in timojl/clipseg


def slow_blur(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """A 15×15 Gaussian with σ 3, borders reflected about the edge pixels: pixel by pixel."""
    channels, height, width = image.shape
    offsets = range(-7, 8)
    weights = {(i, j): np.exp(-(i * i + j * j) / 18) for i in offsets for j in offsets}
    total = sum(weights.values())

    def inside(place: int, side: int) -> int:
        place = abs(place)
        return 2 * (side - 1) - place if place >= side else place

    result = np.zeros((channels, height, width))
    for y in range(height):
        for x in range(width):
            for (i, j), weight in weights.items():
                pixel = image[:, inside(y + i, height), inside(x + j, width)]
                result[:, y, x] += weight / total * pixel
    return result


def test_the_blur_is_a_gaussian_with_reflected_borders() -> None:
    image = torch.randn((2, 10, 9), generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(slow_blur(image.numpy())).float()
    torch.testing.assert_close(blurred(image), expected, atol=1e-5, rtol=1e-4)


def authors_prompt(image: Tensor, mask: Tensor) -> Tensor:
    """`crop_blur_highlight`, with the authors' own bounding box arithmetic."""
    faded = image * mask + 0.1 * blurred(image) * (1 - mask)
    columns, rows = mask.max(0).values, mask.max(1).values
    x0, x1 = int(columns.argmax()), mask.shape[0] - int(columns.flip(0).argmax())
    y0, y1 = int(rows.argmax()), mask.shape[1] - int(rows.flip(0).argmax())
    height, width = y1 - y0, x1 - x0
    x0, x1 = int(max(0, x0 - 0.1 * width)), int(min(mask.shape[0], x1 + 0.1 * width))
    y0, y1 = int(max(0, y0 - 0.1 * height)), int(min(mask.shape[1], y1 + 0.1 * height))
    crop = faded[:, y0:y1, x0:x1]
    h, w = crop.shape[1:]
    square = torch.zeros(3, max(h, w), max(h, w))
    top, left = (max(h, w) - h) // 2, (max(h, w) - w) // 2
    square[:, top : top + h, left : left + w] = crop
    return F.interpolate(square[None], mask.shape)[0]


BOXES = [
    (4, 15, 6, 20),
    (0, 32, 0, 32),
    (10, 11, 3, 4),
    (0, 0, 0, 0),
    (1, 31, 20, 25),
    (0, 9, 9, 32),
]


@pytest.mark.parametrize("box", BOXES)
def test_the_prompt_is_that_of_the_authors(box: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = box
    image = torch.randn((3, 32, 32), generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(32, 32)
    mask[top:bottom, left:right] = 1
    assert torch.equal(visual_prompt(image, mask), authors_prompt(image, mask))


def test_a_prompt_by_hand() -> None:
    image, mask = torch.ones(3, 32, 32), torch.zeros(32, 32)
    mask[10:20, 12:17] = 1  # 10 rows and 5 columns: one row and no whole column of context below
    prompt = visual_prompt(image, mask)
    # The crop is rows 9 to 20 and columns 11 to 16, 12×6, so three columns are filled on each side.
    assert torch.equal(prompt[:, :, :8], torch.zeros(3, 32, 8))
    assert torch.equal(prompt[:, :, 24:], torch.zeros(3, 32, 8))
    rows, columns = torch.arange(32) * 12 // 32 + 9, torch.arange(8, 24) * 12 // 32 - 3 + 11
    expected = torch.where(mask[rows][:, columns] > 0, 1.0, 0.1)
    torch.testing.assert_close(prompt[:, :, 8:24], expected.expand(3, -1, -1))


def test_the_contract_is_kept(clipseg: CLIPSeg) -> None:
    assert [finding for finding in check_segmenter(clipseg) if not finding.passed] == []
