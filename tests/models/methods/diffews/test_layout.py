import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.methods.diffews.layout import ChannelsLastNorm, lay_channels_last


def norm(groups: int = 4, channels: int = 16) -> ChannelsLastNorm:
    torch.manual_seed(0)
    made = ChannelsLastNorm(groups, channels, eps=1e-6)
    nn.init.normal_(made.weight)
    nn.init.normal_(made.bias)
    return made


def exactly(made: ChannelsLastNorm, image: torch.Tensor) -> torch.Tensor:
    weight, bias = made.weight.double(), made.bias.double()
    return F.group_norm(image.double(), made.num_groups, weight, bias, made.eps)


@pytest.mark.parametrize("shape", [(1, 16, 200, 300), (2, 16, 3, 5), (3, 16, 1, 1)])
def test_it_is_exact_where_torchs_own_is_not(shape: tuple[int, ...]) -> None:
    made = norm()
    image = (torch.randn(shape) * 2 + 3).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        out = made(image)
        assert (out - exactly(made, image)).abs().max() < 1e-5
        assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("image", [torch.full((2, 16, 6, 4), 1e3), torch.zeros(1, 16, 4, 4)])
def test_a_flat_image_gives_no_nan(image: torch.Tensor) -> None:
    made = norm()
    with torch.inference_mode():
        out = made(image.contiguous(memory_format=torch.channels_last))
    assert out.isfinite().all()


def test_other_layouts_and_shapes_are_torchs_own() -> None:
    made = norm()
    with torch.inference_mode():
        for states in (torch.randn(2, 16, 5, 4), torch.randn(2, 16, 9)):
            expected = F.group_norm(states, 4, made.weight, made.bias, made.eps)
            assert torch.equal(made(states), expected)


def test_every_norm_of_a_model_is_replaced_and_keeps_its_weights() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(nn.GroupNorm(2, 8), nn.SiLU()))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    lay_channels_last(model)
    assert isinstance(model[1][0], ChannelsLastNorm)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
