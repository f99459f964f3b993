"""Nearest-neighbour upsampling and the convolution behind it, as one transposed convolution.

Doubling an image and convolving it with a 3×3 kernel reads every pixel up to four times: each
output depends on 2×2 pixels only. The same map is a transposed convolution with stride 2 and a
4×4 kernel, whose entries are sums of the 3×3 kernel's: 4 multiplications a pixel in place of 9.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Output o = 2·r + m - 1 reads pixel r through kernel tap k where m = 2 - k or m = 3 - k.
_TAPS = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.float64)


def folded_kernel(weight: Tensor) -> Tensor:
    """The 4×4 kernel of the transposed convolution.

    Args:
        weight: out × in × 3 × 3, of a convolution with padding 1.

    Returns:
        in × out × 4 × 4, summed in float64 and rounded once to the dtype of `weight`.
    """
    taps = _TAPS.to(weight.device)
    kernel = torch.einsum("mk,nl,oikl->iomn", taps, taps, weight.double())
    return kernel.to(weight.dtype).contiguous()


class FoldedUpsample(nn.Module):
    """Stands for a diffusers `Upsample2D`; its convolution keeps its name in the state dict."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.register_buffer("kernel", folded_kernel(conv.weight), persistent=False)

    def forward(self, hidden_states: Tensor, output_size: int | None = None) -> Tensor:
        """B×C×H×W to B×C'×2H×2W."""
        if output_size is not None:
            grown = F.interpolate(hidden_states, size=output_size, mode="nearest")
            return self.conv(grown)  # type: ignore[no-any-return]
        kernel = self.get_buffer("kernel")
        return F.conv_transpose2d(hidden_states, kernel, self.conv.bias, stride=2, padding=1)


def fold_upsampling(model: Any) -> None:
    """Fold every upsampling of a diffusers decoder or U-Net, in place."""
    with torch.no_grad():
        for block in model.up_blocks:
            if block.upsamplers is not None:
                block.upsamplers[0] = FoldedUpsample(block.upsamplers[0].conv)
