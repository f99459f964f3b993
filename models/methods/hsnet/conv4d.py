"""The centre-pivot 4D convolution of HSNet: two 2D convolutions instead of one in four dimensions.

A 4D kernel that is zero wherever neither the query's nor the support's offset is zero falls apart
into one kernel over the query's dimensions and one over the support's.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class CenterPivotConv4d(nn.Module):
    """Convolves B×C×ha×wa×hb×wb, query dimensions first, with the authors' parameter names.

    Args:
        inputs: channels C.
        outputs: channels of the result.
        kernel: side of both kernels, odd.
        stride: over the support's dimensions alone; the query's keep their size.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.conv2 = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """B×outputs×ha×wa×⌈hb/stride⌉×⌈wb/stride⌉, for any size of each call."""
        kept = x[..., :: self.stride, :: self.stride]
        over_query = over_first(self.conv1, kept)
        over_support = over_first(self.conv2, x.permute(0, 1, 4, 5, 2, 3)).permute(0, 1, 4, 5, 2, 3)
        return over_query + over_support


def over_first(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a 2D layer over the first two spatial dimensions of B×C×h×w×m×n."""
    batch, channels, height, width, rows, columns = x.shape
    planes = x.permute(0, 4, 5, 1, 2, 3).reshape(-1, channels, height, width)
    y: Tensor = layer(planes)
    return y.view(batch, rows, columns, *y.shape[1:]).permute(0, 3, 4, 5, 1, 2)


def resize_query(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Stretch the query's dimensions of B×C×ha×wa×hb×wb to `size` bilinearly, corners aligned."""
    batch, channels, height, width, rows, columns = x.shape
    planes = x.permute(0, 1, 4, 5, 2, 3).reshape(batch, -1, height, width)
    y = F.interpolate(planes, size, mode="bilinear", align_corners=True)
    return y.view(batch, channels, rows, columns, *size).permute(0, 1, 4, 5, 2, 3)
