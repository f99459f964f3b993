"""HSNet's learner: squeezes the three levels of correlations, mixes them and decodes a mask."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from models.methods.hsnet.conv4d import CenterPivotConv4d, resize_query

_WIDTHS = (16, 64, 128)


class HPNLearner(nn.Module):
    """The learned part of HSNet, with the authors' parameter names.

    Args:
        depths: features that are compared at levels 2, 3 and 4.
    """

    def __init__(self, depths: Sequence[int]) -> None:
        super().__init__()
        wide = _WIDTHS[-1]
        self.encoder_layer4 = _block(depths[2], _WIDTHS, (3, 3, 3), (2, 2, 2))
        self.encoder_layer3 = _block(depths[1], _WIDTHS, (5, 3, 3), (4, 2, 2))
        self.encoder_layer2 = _block(depths[0], _WIDTHS, (5, 5, 3), (4, 4, 2))
        self.encoder_layer4to3 = _block(wide, (wide,) * 3, (3, 3, 3), (1, 1, 1))
        self.encoder_layer3to2 = _block(wide, (wide,) * 3, (3, 3, 3), (1, 1, 1))
        self.decoder1 = nn.Sequential(
            nn.Conv2d(wide, wide, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(wide, 64, 3, padding=1),
            nn.ReLU(),
        )
        self.decoder2 = nn.Sequential(
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 2, 3, padding=1)
        )

    def forward(self, correlations: Sequence[Tensor]) -> Tensor:
        """Background and foreground logits at twice the finest level's size.

        Args:
            correlations: of levels 2, 3 and 4, each B×L×ha×wa×hb×wb with the query's first.

        Returns:
            B×2×2ha×2wa, of level 2's ha and wa.
        """
        squeezed2 = self.encoder_layer2(correlations[0])
        squeezed3 = self.encoder_layer3(correlations[1])
        squeezed4 = self.encoder_layer4(correlations[2])
        mixed = self.encoder_layer4to3(resize_query(squeezed4, squeezed3.shape[2:4]) + squeezed3)
        mixed = self.encoder_layer3to2(resize_query(mixed, squeezed2.shape[2:4]) + squeezed2)
        decoded = self.decoder1(mixed.mean((4, 5)))
        decoded = F.interpolate(decoded, scale_factor=2, mode="bilinear", align_corners=True)
        logits: Tensor = self.decoder2(decoded)
        return logits


def _block(
    inputs: int, widths: Sequence[int], kernels: Sequence[int], strides: Sequence[int]
) -> nn.Sequential:
    """4D convolutions, each followed by a group norm of four groups and a ReLU."""
    rows: list[nn.Module] = []
    for width, kernel, stride in zip(widths, kernels, strides, strict=True):
        rows += [
            CenterPivotConv4d(inputs, width, kernel, stride),
            nn.GroupNorm(4, width),
            nn.ReLU(),
        ]
        inputs = width
    return nn.Sequential(*rows)
