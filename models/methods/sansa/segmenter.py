"""SANSA as a `Segmenter`.

After `models/sansa/sansa.py` and `inference_fss.py` of ClaudiaCuttano/SANSA (arXiv 2505.21795).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.backbones.base import RANDOM, freeze
from models.catalog import Card, Options
from models.errors import ModelError
from models.geometry import Geometry, Squash
from models.methods.sam2_checkpoint import SAM2
from models.methods.sam2_memory import tiny_network
from models.methods.sam2_video import OBJECT, Video
from models.methods.sansa.adapter import blank, insert, read_adapters
from models.segmenter import BaseSegmenter, Features, Supports
from models.weights.pretrained import Pretrained, load_pretrained
from models.weights.source import network_key, read_weights, torch_dtype

PUBLISHED = "facebook/sam2-hiera-large"
_HINT = (
    "give an adapter_*.pth of github.com/ClaudiaCuttano/SANSA as the option weights=PATH and SAM 2 "
    f"as sam2=PATH|OWNER/NAME (usually {PUBLISHED}), or the option random=tiny to try it without"
)
_TINY = {2: 2, 3: 4, 4: 8}  # blocks of the last two stages of the tiny network
_PRESENT = 10.0  # logit of the object's presence
_SCALE, _BIAS = 20.0, -10.0  # from a mask in {0, 1} to logits


class SANSAOptions(Options):
    """Options of SANSA."""

    weights: str | None = Field(
        default=None,
        description="a file of adapters that the authors' code wrote, as adapter_coco_fold0.pth; "
        "its adaptformer_stages and channel_factor are read from it",
    )
    sam2: str | None = Field(
        default=None,
        description="the SAM 2 that they adapt: a folder, a hub id owner/name[@revision], or "
        "sam2_hiera_large.pt",
    )
    img_size: int = Field(
        default=640,
        gt=0,
        description="side in pixels of the square that images are reduced to first; the authors "
        "use 518 for FSS-1000",
    )
    random: Literal["tiny"] | None = Field(
        default=None, description="random weights of this size in place of both, for tests"
    )


def without_object_scores(network: Any) -> None:
    """Let a Sam2VideoModel be as the authors build it, in place.

    It neither predicts nor doubts that the object is there: its decoder has no token for it, so
    that no other token attends to one. Object pointers say nothing of when they were seen.
    """

    def hidden(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, kwargs | {"point_embeddings": kwargs["point_embeddings"][:, :, 1:]}

    def shown(_: nn.Module, args: Any, output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return F.pad(output[0], (0, 0, 1, 0)), output[1]

    decoder = network.mask_decoder
    decoder.transformer.register_forward_pre_hook(hidden, with_kwargs=True)
    decoder.transformer.register_forward_hook(shown)
    decoder.pred_obj_score_head.register_forward_hook(
        lambda _, args, output: torch.full_like(output, _PRESENT)
    )
    network.config.enable_temporal_pos_encoding_for_object_pointers = False


class SANSA(BaseSegmenter):
    """SAM 2's memory as a matcher, its features turned to meaning by adapters in the encoder.

    The authors' `mask` prompts, on which their tables rest; their points, boxes and scribbles are
    not here. The first support stays in memory as the frame with a mask does, the others as frames
    K-1 to 1 before the query. Memory reaches 6 frames back and pointers 15: of more supports, the
    first and the last ones count.

    Images are squashed to `img_size`, then stretched to what SAM 2 sees. A mask covers there
    whatever pixel it touches. An empty one is a mask like others.

    Args:
        adapters: SAM 2 with its adapters inserted, and the origin of these.
        sam2: the same network, and its own origin.
        img_size: side in pixels of the grid.
    """

    Options = SANSAOptions
    card = Card(
        title="SANSA",
        summary="adapters in SAM 2's encoder, its memory as matcher; strict with a fold's adapters",
        source="https://arxiv.org/abs/2505.21795",
        year=2025,
        weights=f"adapter_*.pth of github.com/ClaudiaCuttano/SANSA; {PUBLISHED}",
        licence="code and adapters: none is given; SAM 2 Apache-2.0 (as published, unverified)",
        training_data="adapters: base classes of the fold that the file is for (generalist: COCO, "
        "ADE20K, LVIS, PACO); SAM 2: SA-1B and SA-V, masks without class names",
        sees_test_classes={"*": "unknown"},  # the checkpoint decides: see `weights.trained_on`
    )
    support_reads_pixels = False

    def __init__(self, adapters: Pretrained, sam2: Pretrained, img_size: int) -> None:
        self.network = sam2.network
        without_object_scores(self.network)
        self._video = Video(self.network)
        self._side = int(self.network.config.image_size)
        self.geometry: Geometry = Squash(img_size)
        both = f"{adapters.digest} {sam2.digest}"
        self.weights_digest = hashlib.sha256(both.encode()).hexdigest()
        key = network_key(self.network, self.weights_digest)
        self.image_key = f"sansa@{key}:{self.network.dtype}"
        self.parameters = sam2.parameters
        self.comparable = not sam2.random
        self.config: Mapping[str, object] = {
            "weights": adapters.source,
            "sam2": sam2.source,
            "img_size": img_size,
        }
        self.card = sam2.card(type(self).card)
        if self.comparable:
            self.card = replace(self.card, weights=f"{adapters.source}; {sam2.source}")

    @classmethod
    def load(cls, options: SANSAOptions, *, device: str = "cpu", dtype: str = "fp32") -> Self:
        """SANSA with the weights that `options` name.

        Raises:
            ModelError: for weights that are not named, missing or do not fit.
        """
        given = (options.weights is not None, options.sam2 is not None)
        if given != (options.random is None,) * 2:
            state = "lacks weights" if options.random is None else "has two sorts of weights"
            raise ModelError(f"sansa {state}: {_HINT}")

        def tiny() -> nn.Module:
            network = tiny_network()
            insert(network, blank(network, _TINY))
            return network

        sam2 = load_pretrained(
            "sansa",
            "Sam2VideoModel",
            PUBLISHED,
            tiny,
            weights=options.sam2,
            random=options.random,
            device=device,
            dtype=dtype,
            option="sam2",
            original=SAM2,
        )
        source, digest = RANDOM, sam2.digest
        if options.weights is not None:
            read = read_weights(options.weights, hint=_HINT)
            adapters = read_adapters(sam2.network, read, _HINT)
            insert(sam2.network, freeze(adapters, device, torch_dtype(dtype)))
            source, digest = read.source, read.digest
        return cls(Pretrained(sam2.network, source, digest), sam2, options.img_size)

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image, `level0` (the finest) to `level2`: (h·w)×1×C each."""
        return self._video.features(self._stretched(images))

    @torch.no_grad()
    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, its spatial memory, that memory's position encoding and object pointer."""
        inside = (self._stretched(masks[:, None]) > 0).to(self.network.dtype)
        return [
            self._remembered(mask[None], own) for mask, own in zip(inside, features, strict=True)
        ]

    @torch.no_grad()
    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """SAM 2's mask logits, B×h×w at a quarter of the resolution it sees, foreground > 0."""
        scores = []
        for query, shots in zip(queries, supports, strict=True):
            session = self._video.session([*[None] * len(shots), query])
            for frame, shot in enumerate(shots):
                session.store_output(
                    OBJECT,
                    frame,
                    output_value=dict(shot.tensors),
                    is_conditioning_frame=frame == 0,
                )
            output = self.network(session, frame_idx=len(shots), run_mem_encoder=False)
            scores.append(output.pred_masks[0, 0].float())
        return torch.stack(scores)

    def _stretched(self, images: Tensor) -> Tensor:
        """B×C×S×S as SAM 2 sees them."""
        side = (self._side, self._side)
        images = images.to(self.network.device)
        return F.interpolate(images, side, mode="bilinear", antialias=True)

    def _remembered(self, mask: Tensor, features: Features) -> Features:
        """What later frames read of a frame with a mask, 1×1×S×S in {0, 1}."""
        network = self.network
        *fine, coarse = (
            features[f"level{n}"].permute(1, 2, 0).reshape(1, -1, *size)
            for n, size in enumerate(network.backbone_feature_sizes)
        )
        pointer = network._single_frame_forward(
            input_masks=network.mask_downsample(mask),
            image_embeddings=[*fine, coarse],
            multimask_output=False,
        ).object_pointer
        logits = F.interpolate(
            mask.float() * _SCALE + _BIAS,
            network.prompt_encoder.mask_input_size,
            mode="bilinear",
            antialias=True,
        )
        logits = F.interpolate(logits, mask.shape[2:], mode="bilinear").sigmoid()
        config = network.config
        logits = logits * config.sigmoid_scale_for_mem_enc + config.sigmoid_bias_for_mem_enc
        memory, places = network.memory_encoder(coarse, logits.to(coarse))
        return Features(
            {
                "maskmem_features": memory.flatten(2).permute(2, 0, 1).clone(),
                "maskmem_pos_enc": places.to(memory).flatten(2).permute(2, 0, 1).clone(),
                "object_pointer": pointer,
            }
        )
