"""MobileSAM: the official checkpoint's form against plain modules with batch norms of their own."""

import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from models.backbones.base import seeded
from models.errors import ModelError
from models.methods.sam import load_sam
from models.methods.sam.network import tiny_network
from models.methods.sam.tinyvit import folded, is_mobile
from tests.models.methods.test_sam import original_of

WIDTHS, HEADS, WINDOWS, CHANNELS = (4, 8, 8, 12), (2, 2, 3), (7, 14, 7), 16


class ConvNorm(nn.Sequential):
    """The authors' `Conv2d_BN`: parts `c` and `bn`."""

    def __init__(self, a: int, b: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.add_module(
            "c", nn.Conv2d(a, b, kernel, stride, kernel // 2, groups=groups, bias=False)
        )
        self.add_module("bn", nn.BatchNorm2d(b))


class Plain(nn.Module):
    """A module with named parts."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def inverted(width: int) -> Plain:
    return Plain(
        conv1=ConvNorm(width, 4 * width),
        conv2=ConvNorm(4 * width, 4 * width, 3, groups=4 * width),
        conv3=ConvNorm(4 * width, width),
    )


def merge(width: int, out: int, stride: int) -> Plain:
    return Plain(
        conv1=ConvNorm(width, out),
        conv2=ConvNorm(out, out, 3, stride, groups=out),
        conv3=ConvNorm(out, out),
    )


def block(width: int, heads: int, window: int) -> Plain:
    attn = Plain(
        norm=nn.LayerNorm(width), qkv=nn.Linear(width, 3 * width), proj=nn.Linear(width, width)
    )
    attn.attention_biases = nn.Parameter(torch.randn(heads, window**2))
    mlp = Plain(
        norm=nn.LayerNorm(width), fc1=nn.Linear(width, 4 * width), fc2=nn.Linear(4 * width, width)
    )
    return Plain(attn=attn, local_conv=ConvNorm(width, width, 3, groups=width), mlp=mlp)


def encoder() -> Plain:
    """The authors' encoder at small widths, with its unused classifier."""
    strides = (2, 2, 1)
    layers: list[nn.Module] = [
        Plain(blocks=nn.ModuleList([inverted(4)]), downsample=merge(4, WIDTHS[1], strides[0]))
    ]
    for index in range(3):
        width = WIDTHS[index + 1]
        parts: dict[str, nn.Module] = {
            "blocks": nn.ModuleList([block(width, HEADS[index], WINDOWS[index])])
        }
        if index < 2:
            parts["downsample"] = merge(width, WIDTHS[index + 2], strides[index + 1])
        layers.append(Plain(**parts))
    seq = nn.Sequential(ConvNorm(3, 2, 3, 2), nn.GELU(), ConvNorm(2, 4, 3, 2))
    neck = nn.ModuleList(
        [
            nn.Conv2d(12, CHANNELS, 1, bias=False),
            nn.LayerNorm(CHANNELS),
            nn.Conv2d(CHANNELS, CHANNELS, 3, 1, 1, bias=False),
            nn.LayerNorm(CHANNELS),
        ]
    )
    made = Plain(
        patch_embed=Plain(seq=seq),
        layers=nn.ModuleList(layers),
        neck=neck,
        norm_head=nn.LayerNorm(12),
        head=nn.Linear(12, 5),
    )
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return made.eval()


def attended(part: Plain, heads: int, x: Tensor, window: int) -> Tensor:
    """The authors' attention, whose biases are found by a dictionary of offsets."""
    offsets: dict[tuple[int, int], int] = {}
    index = []
    points = list(itertools.product(range(window), range(window)))
    for one, two in itertools.product(points, points):
        offset = abs(one[0] - two[0]), abs(one[1] - two[1])
        index.append(offsets.setdefault(offset, len(offsets)))
    bias = part.attention_biases[:, torch.tensor(index).view(len(points), -1)]
    batch, places, width = x.shape
    qkv = part.qkv(part.norm(x)).view(batch, places, heads, -1).permute(0, 2, 1, 3)
    q, k, v = qkv.split(width // heads, dim=3)
    scores = (q @ k.transpose(-2, -1)) * (width // heads) ** -0.5 + bias
    mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, places, width)
    return part.proj(mixed)  # type: ignore[no-any-return]


def plainly(made: Plain, x: Tensor) -> Tensor:
    """The authors' forward pass, step by step."""
    x = made.patch_embed.seq(x)
    first = made.layers[0]
    for own in first.blocks:
        x = F.gelu(x + own.conv3(F.gelu(own.conv2(F.gelu(own.conv1(x))))))
    down = first.downsample
    x = down.conv3(F.gelu(down.conv2(F.gelu(down.conv1(x)))))
    for stage, heads, window in zip(made.layers[1:], HEADS, WINDOWS, strict=True):
        for own in stage.blocks:
            height, width = x.shape[2:]
            tokens = x.permute(0, 2, 3, 1)
            tokens = F.pad(tokens, (0, 0, 0, -width % window, 0, -height % window))
            mixed = torch.zeros_like(tokens)
            for top in range(0, tokens.shape[1], window):
                for left in range(0, tokens.shape[2], window):
                    cut = tokens[:, top : top + window, left : left + window]
                    flat = cut.reshape(len(x), window**2, -1)
                    mixed[:, top : top + window, left : left + window] = attended(
                        own.attn, heads, flat, window
                    ).view_as(cut)
            x = x + mixed[:, :height, :width].permute(0, 3, 1, 2)
            x = own.local_conv(x)
            tokens = x.permute(0, 2, 3, 1)
            grown = own.mlp.fc2(F.gelu(own.mlp.fc1(own.mlp.norm(tokens))))
            x = x + grown.permute(0, 3, 1, 2)
        if hasattr(stage, "downsample"):
            down = stage.downsample
            x = down.conv3(F.gelu(down.conv2(F.gelu(down.conv1(x)))))
    for index in (0, 2):
        x = made.neck[index](x)
        norm = made.neck[index + 1]
        x = F.layer_norm(x.permute(0, 2, 3, 1), (CHANNELS,), norm.weight, norm.bias, 1e-6)
        x = x.permute(0, 3, 1, 2)
    return x


@pytest.fixture(scope="module")
def official() -> tuple[Plain, dict[str, Tensor]]:
    """The plain encoder, and a state dict as `mobile_sam.pt` holds it."""
    made = seeded(encoder)
    rest = original_of(seeded(tiny_network), 2)
    state = {name: tensor for name, tensor in rest.items() if not name.startswith("image_encoder.")}
    own = {f"image_encoder.{name}": tensor for name, tensor in made.state_dict().items()}
    return made, {**own, **state}


@pytest.mark.parametrize("form", ["official", "folded"])
def test_both_forms_give_what_the_authors_steps_give(
    official: tuple[Plain, dict[str, Tensor]],
    form: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("models.methods.sam.checkpoint.DECODER_HEADS", 2)
    made, state = official
    path = tmp_path / ("mobile_sam.pt" if form == "official" else "mobile_sam.safetensors")
    if form == "official":
        torch.save(state, path)
    else:
        save_file({name: tensor.contiguous() for name, tensor in folded(state).items()}, path)
    sam = load_sam("persam", weights=str(path), random=None, device="cpu", dtype="fp32")
    assert sam.size == 1024
    pixels = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = plainly(made, pixels)
    assert expected.shape == (1, CHANNELS, 64, 64)
    torch.testing.assert_close(sam.embed(pixels)[0], expected[0], atol=2e-5, rtol=1e-4)
    sparse, dense = sam.prompt(torch.tensor([[[500.0, 300.0]]]), torch.ones(1, 1, dtype=torch.long))
    masks, scores = sam.decode(expected[0], sparse, dense)
    assert masks.shape == (1, 4, 256, 256) and scores.shape == (1, 4)


def test_folding_leaves_nothing_of_the_batch_norms(
    official: tuple[Plain, dict[str, Tensor]],
) -> None:
    found = folded(official[1])
    assert is_mobile(official[1]) and is_mobile(found)
    assert not any(".bn." in name or ".c." in name or "head." in name for name in found if
                   name.startswith("image_encoder."))  # fmt: skip
    assert folded(found).keys() == found.keys()


def test_a_checkpoint_that_lacks_a_part_is_named(
    official: tuple[Plain, dict[str, Tensor]], tmp_path: Path
) -> None:
    state = {n: t for n, t in official[1].items() if "neck.0" not in n}
    path = tmp_path / "mobile_sam.pt"
    torch.save(state, path)
    with pytest.raises(ModelError, match=r"mobile_sam\.pt is no checkpoint of SAM"):
        load_sam("persam", weights=str(path), random=None, device="cpu", dtype="fp32")
