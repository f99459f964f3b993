import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.methods.diffews.upsample import FoldedUpsample


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4)])
def test_it_equals_upsampling_and_convolving(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, 3, padding=1).double()
    image = torch.randn(2, 5, *size, dtype=torch.float64)
    expected = conv(F.interpolate(image, scale_factor=2, mode="nearest"))
    torch.testing.assert_close(FoldedUpsample(conv)(image), expected, atol=1e-13, rtol=0)


def test_an_odd_target_size_takes_the_plain_way() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 4, 3, padding=1)
    image = torch.randn(1, 4, 3, 3)
    expected = conv(F.interpolate(image, size=(5, 6), mode="nearest"))
    assert torch.equal(FoldedUpsample(conv)(image, (5, 6)), expected)


def test_its_state_is_the_convolutions() -> None:
    assert list(FoldedUpsample(nn.Conv2d(4, 4, 3, padding=1)).state_dict()) == [
        "conv.weight",
        "conv.bias",
    ]
