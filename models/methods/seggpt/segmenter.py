"""SegGPT (Wang et al., ICCV 2023): paint the query's mask beside a painted example.

transformers' implementation, with its feature ensemble mended to the authors' (`models_seggpt.py`
in baaivision/Painter): up to and including the layer where the streams of images and masks merge,
queries are averaged over the examples within each stream. transformers averages across the two
streams in the merging layer itself, so that even equal examples change the result.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from models.catalog import Card
from models.geometry import SquashAs
from models.methods.seggpt.checkpoint import SEGGPT
from models.segmenter import Features, Supports
from models.weights.pretrained import OverTransformers, Pretrained, PretrainedOptions, normalised


def tiny_network() -> nn.Module:
    """SegGPT on 32×32 pixels, with 185,000 random parameters, large enough to paint clearly."""
    import transformers

    config = transformers.SegGptConfig(
        hidden_size=32,
        num_hidden_layers=5,
        num_attention_heads=4,
        image_size=(64, 32),
        patch_size=8,
        pretrain_image_size=32,
        merge_index=1,
        intermediate_hidden_state_indices=[1, 2, 3, 4],
        decoder_hidden_size=16,
        mlp_dim=64,
        initializer_range=0.2,
    )
    network: nn.Module = transformers.SegGptForImageSegmentation(config)
    return network


class SegGPTOptions(PretrainedOptions):
    """Options of SegGPT."""

    enlarge: Literal["nearest", "bilinear"] = Field(
        default="nearest",
        description="how the painting is brought to the image: nearest as the authors do it, or "
        "bilinear, whose edges are 2 to 4 points of IoU better where the painting is nearly right",
    )
    embedding: Literal["semantic", "instance"] = Field(
        default="semantic",
        description="the segmentation type that the network is told; the authors' command has "
        "instance by default",
    )


class SegGPT(OverTransformers):
    """SegGPT with white foreground and black background.

    Several supports are an ensemble: the model reads the query beside each, and the query's
    attention outputs are averaged in every layer. It reads support and query together from its
    first layer on, so nothing but pixels can be kept.
    """

    Options = SegGPTOptions
    name = "seggpt"
    architecture = "SegGptForImageSegmentation"
    published = "BAAI/seggpt-vit-large"
    tiny_network = tiny_network
    original = SEGGPT
    card = Card(
        title="SegGPT",
        summary="a ViT-L that paints masks after painted examples, feature ensemble",
        source="https://arxiv.org/abs/2304.03284",
        year=2023,
        weights=published,
        licence="Apache-2.0 (as the hub says; the authors' own repository says MIT)",
        training_data=(
            "masks of ADE20K, COCO, PASCAL VOC, Cityscapes, LIP, PACO, iSAID, loveDA and of retinal"
            " vessels"
        ),
        trained_on=("coco", "pascal", "paco-part", "isaid"),
        sees_test_classes={
            "*": "unknown",
            "camvid": "partly",
            "coco": "yes",
            "fss1000": "partly",
            "isaid": "yes",
            "paco-part": "yes",
            "pascal": "yes",
            "shapes": "no",
        },
    )
    support_reads_pixels = False

    def __init__(
        self,
        pretrained: Pretrained,
        enlarge: Literal["nearest", "bilinear"] = "nearest",
        embedding: Literal["semantic", "instance"] = "semantic",
    ) -> None:
        self.network = mended(pretrained.network)
        self.embedding = embedding
        size = int(self.network.config.image_size[1])
        super().__init__(pretrained, size=size, embedding=embedding, enlarge=enlarge)
        self.geometry = SquashAs(
            size,
            "bicubic",
            masks="pil",
            back="nearest" if enlarge == "nearest" else "centres",
        )
        self.image_key = f"imagenet-pixels:{self.network.dtype}"

    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image, `pixels`: normalised, 3×H×W."""
        pixels = normalised(images, next(self.network.parameters()))
        return [Features({"pixels": image.clone()}) for image in pixels]

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, `pixels` as of its image and `painting`: the normalised mask, 3×H×W."""
        painted = masks[:, None].expand(-1, 3, -1, -1)
        paintings = normalised(painted, next(self.network.parameters()))
        return [
            Features({"pixels": feature["pixels"], "painting": painting.clone()})
            for feature, painting in zip(features, paintings, strict=True)
        ]

    @torch.no_grad()
    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """How much nearer to white than to black the painting is: B×H×W in -1..1.

        One query at a time, because the ensemble averages over the whole batch.
        """
        return torch.stack(
            [self._segment(query, shots) for query, shots in zip(queries, supports, strict=True)]
        )

    def _segment(self, query: Features, shots: Sequence[Features]) -> Tensor:
        """Scores of one query: H×W."""
        prompts = torch.stack([shot["pixels"] for shot in shots])
        output = self.network.model(
            pixel_values=query["pixels"].expand_as(prompts),
            prompt_pixel_values=prompts,
            prompt_masks=torch.stack([shot["painting"] for shot in shots]),
            feature_ensemble=len(shots) > 1,
            embedding_type=self.embedding,
        )
        # The ensemble leaves the query's half equal for all prompts; the first is decoded.
        states = torch.cat([state[:1] for state in output.intermediate_hidden_states], dim=-1)
        painting = self.network.decoder(states)[0]
        return whiteness(painting[:, painting.shape[1] // 2 :].float())


def whiteness(painting: Tensor) -> Tensor:
    """Squared distance to black minus that to white, over the squared distance of the two.

    The authors' rule, the nearer of the two colours, so is a threshold at 0.

    Args:
        painting: normalised, 3×H×W.

    Returns:
        H×W in -1..1, positive where white is the nearer.
    """
    mean = painting.new_tensor(IMAGENET_MEAN)[:, None, None]
    std = painting.new_tensor(IMAGENET_STD)[:, None, None]
    return 2 * (painting * std + mean).clamp(0, 1).mean(0) - 1


def mended(network: Any) -> Any:
    """The network with the merging layer averaging within each stream; in place, once.

    A layer's condition is how many examples the batch must hold, and 2 means within streams.
    """
    layer = network.model.encoder.layers[network.config.merge_index]
    forward = layer.forward

    def within_streams(hidden_states: Tensor, ensemble_cond: int, *args: Any, **kwargs: Any) -> Any:
        return forward(hidden_states, 2, *args, **kwargs)

    layer.forward = within_streams
    return network
