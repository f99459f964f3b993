"""TinyViT-5M (Wu et al., ECCV 2022) as MobileSAM's image encoder (Zhang et al., 2023).

After `mobile_sam/modeling/tiny_vit_sam.py` of ChaoningZhang/MobileSAM (Apache-2.0). Batch norms are
folded into the convolutions before them, and the table of attention biases is spread out to all
pairs of a window: neither changes what is computed. Checkpoints come in both forms, see `folded`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BATCH_NORM_EPS = 1e-5
_NECK_EPS = 1e-6
_UNUSED = re.compile(r"image_encoder\.(norm_head|head)\.|num_batches_tracked$|attention_bias_idxs$")


def is_mobile(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is MobileSAM's, with batch norms of its own or folded."""
    return any(
        f"image_encoder.patch_embed.seq.0.{own}" in tensors for own in ("c.weight", "weight")
    )


def folded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of MobileSAM with batch norms folded and attention biases spread out.

    Args:
        tensors: official names (`conv1.c.weight`, `conv1.bn.weight`, `attn.attention_biases`), or
            those of the folded form, which stay as they are.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if ".bn." in name or _UNUSED.search(name):
            continue
        if name.endswith(".c.weight"):
            place = name.removesuffix(".c.weight")
            norm = {part: tensors[f"{place}.bn.{part}"].double() for part in _NORM}
            scale = norm["weight"] / (norm["running_var"] + _BATCH_NORM_EPS).sqrt()
            found[f"{place}.weight"] = (tensor.double() * scale[:, None, None, None]).to(tensor)
            found[f"{place}.bias"] = (norm["bias"] - norm["running_mean"] * scale).to(tensor)
        elif name.endswith(".attention_biases"):
            found[name.replace("attention_biases", "bias")] = _spread(tensor)
        else:
            found[name] = tensor
    return found


_NORM = ("weight", "bias", "running_mean", "running_var")


def _spread(biases: Tensor) -> Tensor:
    """Biases by distance (heads × window²) for all pairs of a window's places: heads × N × N."""
    window = round(biases.shape[1] ** 0.5)
    places = torch.arange(window**2)
    rows, columns = places // window, places % window
    distance = (rows[:, None] - rows).abs() * window + (columns[:, None] - columns).abs()
    return biases[:, distance]


def bare_encoder(tensors: Mapping[str, Tensor]) -> nn.Module:
    """The encoder that a folded state dict fills; shapes say all of it.

    Raises:
        KeyError, ValueError: where it lacks what says its sizes.
    """
    shapes = {
        name.removeprefix("image_encoder."): tuple(tensor.shape)
        for name, tensor in tensors.items()
        if name.startswith("image_encoder.")
    }
    depths: dict[int, int] = {}
    for name in shapes:
        match = re.match(r"layers\.(\d+)\.blocks\.(\d+)\.", name)
        if match:
            layer, block = map(int, match.groups())
            depths[layer] = max(depths.get(layer, 0), block + 1)
    stem = shapes["patch_embed.seq.0.weight"][0], shapes["patch_embed.seq.2.weight"][0]
    width, layers = stem[1], []
    for index in sorted(depths):
        place = f"layers.{index}"
        if index == 0:
            grown = shapes[f"{place}.blocks.0.conv1.weight"][0]
            blocks: list[nn.Module] = [_Inverted(width, grown) for _ in range(depths[index])]
        else:
            heads, places, _ = shapes[f"{place}.blocks.0.attn.bias"]
            hidden = shapes[f"{place}.blocks.0.mlp.fc1.weight"][0]
            window = round(places**0.5)
            blocks = [_Block(width, heads, window, hidden) for _ in range(depths[index])]
        down = None
        if f"{place}.downsample.conv1.weight" in shapes:
            out = shapes[f"{place}.downsample.conv1.weight"][0]
            # The last stage keeps the grid, so that an embedding has a sixteenth of the side.
            down = _Merge(width, out, stride=1 if index == max(depths) - 1 else 2)
            width = out
        layers.append(_Stage(blocks, down))
    return TinyViT(stem, layers, width, shapes["neck.0.weight"][0])


class TinyViT(nn.Module):
    """Normalised images B×3×S×S to embeddings B×C×S/16×S/16, in the form of transformers."""

    def __init__(
        self, stem: tuple[int, int], layers: Sequence[nn.Module], width: int, channels: int
    ) -> None:
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.seq = nn.Sequential(
            nn.Conv2d(3, stem[0], 3, 2, 1), nn.GELU(), nn.Conv2d(stem[0], stem[1], 3, 2, 1)
        )
        self.layers = nn.Sequential(*layers)
        self.neck = nn.Sequential(
            nn.Conv2d(width, channels, 1, bias=False),
            _ChannelNorm(channels, eps=_NECK_EPS),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            _ChannelNorm(channels, eps=_NECK_EPS),
        )

    def forward(self, pixel_values: Tensor, **_: Any) -> tuple[Tensor]:
        """The embeddings, first of a tuple as transformers has it."""
        stem = cast(nn.Module, self.patch_embed.seq)
        # Channels last spares the blocks their transposes: a fifth of the time on a CPU.
        pixels = pixel_values.contiguous(memory_format=torch.channels_last)
        return (self.neck(self.layers(stem(pixels))),)


class _Stage(nn.Module):
    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(x)
        return x if self.downsample is None else self.downsample(x)


class _Inverted(nn.Module):
    """MobileNet's inverted bottleneck."""

    def __init__(self, width: int, grown: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, grown, 1)
        self.conv2 = nn.Conv2d(grown, grown, 3, 1, 1, groups=grown)
        self.conv3 = nn.Conv2d(grown, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x + self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))


class _Merge(nn.Module):
    """From one stage to the next."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 1)
        self.conv2 = nn.Conv2d(out, out, 3, stride, 1, groups=out)
        self.conv3 = nn.Conv2d(out, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))  # type: ignore[no-any-return]


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.empty(heads, window**2, window**2))

    def forward(self, x: Tensor) -> Tensor:
        batch, places, width = x.shape
        parts = self.qkv(self.norm(x)).view(batch, places, self.heads, -1).transpose(1, 2)
        q, k, v = parts.split(width // self.heads, dim=-1)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias)
        return self.proj(mixed.transpose(1, 2).reshape(batch, places, width))  # type: ignore[no-any-return]


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.norm(x))))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Attention within windows, a convolution across them, and an MLP; B×C×H×W."""

    def __init__(self, width: int, heads: int, window: int, hidden: int) -> None:
        super().__init__()
        self.window = window
        self.attn = _Attention(width, heads, window)
        self.local_conv = nn.Conv2d(width, width, 3, 1, 1, groups=width)
        self.mlp = _Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        batch, width, height, across = x.shape
        side = self.window
        # Windows that reach over the border see zeros there, as the authors' do.
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, -across % side, 0, -height % side))
        rows, columns = (size // side for size in padded.shape[1:3])
        windows = padded.view(batch, rows, side, columns, side, width).transpose(2, 3)
        mixed = self.attn(windows.reshape(-1, side**2, width))
        mixed = mixed.view(batch, rows, columns, side, side, width).transpose(2, 3)
        mixed = mixed.reshape(batch, rows * side, columns * side, width)[:, :height, :across]
        x = self.local_conv(x + mixed.permute(0, 3, 1, 2))
        return x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


class _ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of B×C×H×W."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
