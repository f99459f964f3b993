"""PATNet: HSNet on features moved to learned anchors (Lei et al., ECCV 2022).

Each map of a support has a foreground and a background prototype, C; the linear map P = (C⁺R)ᵀ
takes them to the level's two learned anchors, R, and is applied to query and support alike. P has
rank two, so a cosine of moved features needs two numbers each: with R's rows in an orthonormal
basis, Rᵀ = QT, the vectors T(C⁺)ᵀf have the lengths and products of Pf.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.backbones.vgg import VGG16
from models.catalog import Card
from models.errors import ModelError
from models.methods.hsnet.correlation import masked, unit
from models.methods.hsnet.learner import HPNLearner
from models.methods.hsnet.levels import Backbone, backbone_name, depths, widths
from models.methods.hsnet.segmenter import OverLevels

_EPS = 1e-6
# The first maps of each anchor are those of ResNet-50's levels, which VGG-16's are not.
_ANCHOR_STARTS = (0, 4, 10)


class PATNetwork(nn.Module):
    """The modules of PATNet under the authors' names; the anchors' biases are never used."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        if backbone_name(backbone) == "resnet101":
            raise ModelError("patnet has no ResNet-101: use a checkpoint of ResNet-50 or VGG-16")
        self.backbone = backbone
        self.hpn_learner = HPNLearner(depths(backbone))
        for number, width in enumerate(widths(backbone), 1):
            self.add_module(f"reference_layer{number}", nn.Linear(width, 2))

    def anchors(self) -> list[Tensor]:
        """Levels 2 to 4: for each of their maps the background's and foreground's anchor, L×2×C."""
        references = [self.get_parameter(f"reference_layer{n}.weight") for n in (1, 2, 3)]
        levels = []
        first = 0
        for level, count in enumerate(depths(self.backbone)):
            chosen = [level] * count
            if isinstance(self.backbone, VGG16):
                chosen = [_anchor_of(index) for index in range(first, first + count)]
            levels.append(torch.stack([references[number] for number in chosen]))
            first += count
        return levels


def _anchor_of(index: int) -> int:
    """The anchor that the authors' code takes for the map of this number."""
    return max(number for number, start in enumerate(_ANCHOR_STARTS) if index >= start)


class Anchored:
    """PATNet's comparison, in float32 throughout.

    Args:
        anchors: of levels 2 to 4, each L×2×C.
    """

    def __init__(self, anchors: Sequence[Tensor]) -> None:
        rows = [level.detach().float() for level in anchors]
        rows = [level / (level.norm(dim=2, keepdim=True) + _EPS) for level in rows]
        self.bases = [torch.linalg.qr(level.mT).R for level in rows]

    def support(self, level: int, maps: Tensor, mask: Tensor) -> Mapping[str, Tensor]:
        """`vectors` and `inside`, and the `projection`, L×2×C, which the query shares."""
        maps = maps.float()
        under = masked(maps, mask)
        outside = 1 - under.mask
        foreground = under.vectors.sum(2) / maps[0, 0].numel() / (under.mask.mean() + _EPS)
        background = (maps * outside).mean((2, 3)) / (outside.mean() + _EPS)
        prototypes = torch.stack([background, foreground], dim=1)
        prototypes = prototypes / (prototypes.norm(dim=2, keepdim=True) + _EPS)
        # The authors' `torch.pinverse` cuts no singular value but zero.
        inverse = torch.linalg.pinv(prototypes, rtol=1e-15)
        projection = self.bases[level] @ inverse.mT
        vectors = unit(projection @ under.vectors)
        return {"vectors": vectors, "inside": under.inside, "projection": projection}

    def query(self, level: int, maps: Tensor, support: Mapping[str, Tensor]) -> Tensor:
        """The query's maps moved as the support's are."""
        return unit(support["projection"] @ maps.float().flatten(2))


class PATNet(OverLevels):
    """HSNet's learner on correlations of features that were moved to learned anchors.

    This is what the authors' `test.py` runs. The paper also fine-tunes the anchors on the images
    that are tested; that script does not call it (`finetune_reference`), and it is not here.

    Source: ECCV 2022; github.com/slei109/PATNet.
    """

    name = "patnet"
    where = "a best_model.pt (none is released: train it with github.com/slei109/PATNet)"
    build = PATNetwork
    card = Card(
        title="PATNet",
        summary="HSNet on features moved to learned, domain-agnostic anchors",
        source="https://github.com/slei109/PATNet",
        year=2022,
        weights="not released; a best_model.pt of the authors' train.py",
        licence="no LICENSE file in the repository",
        training_data="all 20 classes of PASCAL VOC 2012 with SBD; ImageNet-1k labels",
        deviations="a mask that covers the whole support: the authors' pseudo-inverse turns "
        "rounding noise there, which nothing can match (logits differ by 4 to 6%)",
        trained_on=("pascal",),
        sees_test_classes={
            "*": "unknown",
            "chestxray": "no",
            "coco": "partly",
            "deepglobe": "no",
            "isic2018": "no",
            "pascal": "yes",
            "shapes": "no",
        },
    )

    def compare(self) -> Anchored:
        """By features moved to the network's anchors."""
        return Anchored(self.network.anchors())
