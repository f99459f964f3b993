"""CLIPSeg with visual prompts (Lüddecke and Ecker, CVPR 2022).

After timojl/clipseg: `crop_blur_highlight352` of `datasets/utils.py` makes the prompts, and images
keep their aspect as in its PASCAL-5i evaluation (`experiments/pascal_1shot.yaml`).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.catalog import Card
from models.geometry import LongestSide
from models.segmenter import Features
from models.weights.pretrained import (
    OverTransformers,
    Pretrained,
    PretrainedOptions,
    normalised,
)

_SIZE = 352  # what the published decoders were trained on, finer than CLIP's own 224

_BACKGROUND = 0.1  # what is left of the background
_CONTEXT = 0.1  # how far a crop reaches over the object on each side, as a share of the object
_KERNEL, _SIGMA = 15, 3.0  # of the Gaussian blur, in pixels


class CLIPSegOptions(PretrainedOptions):
    """Options of CLIPSeg."""

    threshold: float = Field(
        default=0.24,
        gt=0,
        lt=1,
        description="probability above which a pixel is foreground; the authors use 0.24 for "
        "models trained with negatives, 0.28 for those trained without",
    )


def tiny_network() -> nn.Module:
    """CLIPSeg on 32×32 pixels, with 64,000 random parameters, large enough to give clear masks."""
    import transformers

    text = {
        "vocab_size": 100,
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 16,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
    }
    config = transformers.CLIPSegConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=32,
        extract_layers=[1, 2, 3],
        reduce_dim=16,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=32,
        conditional_layer=0,
    )
    network: nn.Module = transformers.CLIPSegForImageSegmentation(config)
    return network


class CLIPSeg(OverTransformers):
    """A decoder over CLIP's activations, conditioned on CLIP's embedding of a prompt image.

    The prompt is the support cropped to its object, its background blurred and faded to the mean
    colour. The embeddings of several supports are averaged. A support without foreground is a
    prompt of all background.
    """

    Options = CLIPSegOptions
    name = "clipseg"
    architecture = "CLIPSegForImageSegmentation"
    published = "CIDAS/clipseg-rd64-refined"
    tiny_network = tiny_network
    card = Card(
        title="CLIPSeg",
        summary="a decoder over CLIP ViT-B/16, conditioned on a cropped and blurred support",
        source="https://arxiv.org/abs/2112.10003",
        year=2022,
        weights=published,
        licence="Apache-2.0 (as the hub says; the repository's MIT excludes weights)",
        training_data="PhraseCut: phrases and masks on Visual Genome; CLIP: 400 million web images",
        sees_test_classes={
            "*": "unknown",
            "camvid": "partly",
            "coco": "yes",
            "fss1000": "partly",
            "pascal": "yes",
            "shapes": "no",
        },
    )
    support_uses_features = False

    def __init__(self, pretrained: Pretrained, threshold: float = 0.24) -> None:
        self.network = pretrained.network
        # Random networks have no usual size but that of their position embeddings.
        size = int(self.network.config.vision_config.image_size) if pretrained.random else _SIZE
        super().__init__(pretrained, size=size, threshold=threshold)
        self.geometry = LongestSide(size)
        self.threshold = threshold
        self.image_key = f"clipseg@{pretrained.digest[:16]}:{self.network.dtype}"

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image, `activations` of the CLIP layers that the decoder reads: layers×tokens×C."""
        output = self.network.clip.vision_model(
            pixel_values=normalised(images, next(self.network.parameters())),
            output_hidden_states=True,
            interpolate_pos_encoding=True,
        )
        # The first hidden state is the input of the first layer.
        layers = [output.hidden_states[number + 1] for number in self.network.extract_layers]
        return [Features({"activations": each.clone()}) for each in torch.stack(layers, dim=1)]

    @torch.no_grad()
    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, CLIP's `embedding` of its visual prompt."""
        pixels = normalised(images, images)
        prompts = [visual_prompt(*pair) for pair in zip(pixels, masks, strict=True)]
        embeddings = self.network.get_conditional_embeddings(
            batch_size=len(prompts),
            conditional_pixel_values=torch.stack(prompts).to(next(self.network.parameters())),
        )
        return [Features({"embedding": embedding.clone()}) for embedding in embeddings]

    @torch.no_grad()
    def segment(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]]
    ) -> Tensor:
        """Logits above the threshold's: B×size×size, foreground > 0."""
        activations = torch.stack([query["activations"] for query in queries])
        embeddings = torch.stack(
            [torch.stack([shot["embedding"] for shot in shots]).mean(0) for shots in supports]
        )
        logits: Tensor = self.network.decoder(activations.unbind(1), embeddings).logits.float()
        return logits - math.log(self.threshold / (1 - self.threshold))


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
