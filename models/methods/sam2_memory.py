"""SAM 2's video memory as a few-shot segmenter: supports are earlier frames of the query's video.

transformers' Sam2VideoModel (Ravi et al., "SAM 2: Segment Anything in Images and Videos", ICLR
2025), used through its inference session: image features, and what the memory keeps of a frame
with its mask, enter the session ready-made, so that neither is computed twice.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.catalog import Card
from models.geometry import SquashAs
from models.methods.sam2_checkpoint import SAM2
from models.methods.sam2_video import OBJECT, Video
from models.segmenter import Features, Supports
from models.weights.pretrained import OverTransformers, Pretrained, PretrainedOptions

# What later frames read of a frame with a mask.
_KEPT = ("maskmem_features", "maskmem_pos_enc", "object_pointer")


def remember_as_original(network: Any) -> None:
    """Let a network make memory of a given mask as the authors' predictor does; in place.

    After `_use_mask_as_output` of `sam2_base.py` and `propagate_in_video_preflight` of
    `sam2_video_predictor.py` in facebookresearch/sam2.
    """
    heads, use_mask = network._single_frame_forward, network._use_mask_as_output

    def single_mask_heads(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("input_masks") is not None:
            kwargs["multimask_output"] = False
        return heads(*args, **kwargs)

    def use_mask_reduced(*args: Any, **kwargs: Any) -> Any:
        output = use_mask(*args, **kwargs)
        size, reduced = output.high_res_masks.shape[-2:], output.pred_masks
        output.high_res_masks = F.interpolate(reduced.float(), size, mode="bilinear").to(reduced)
        return output

    network._single_frame_forward = single_mask_heads
    network._use_mask_as_output = use_mask_reduced


def tiny_network() -> nn.Module:
    """SAM 2 on 64×64 pixels, with random parameters large enough to give clear masks."""
    import transformers

    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[64, 64],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[4, 2, 2, 2],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
        initializer_range=0.2,
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        fpn_hidden_size=128,
        num_feature_levels=3,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        initializer_range=0.2,
    )
    config = transformers.Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={
            "hidden_size": 128,
            "image_size": 64,
            "patch_size": 16,
            "mask_input_channels": 8,
        },
        mask_decoder_config={
            "hidden_size": 128,
            "mlp_dim": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "iou_head_depth": 2,
            "iou_head_hidden_dim": 16,
        },
        image_size=64,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
        initializer_range=0.2,
    )
    network: nn.Module = transformers.Sam2VideoModel(config)
    # Random weights would as likely say that there is no object, and then nothing else.
    network.get_parameter("mask_decoder.pred_obj_score_head.proj_out.bias").data.fill_(10)
    return network


class SAM2MemoryOptions(PretrainedOptions):
    """Options of SAM 2's memory."""

    memory: Literal["original", "transformers"] = Field(
        default="original",
        description="how a support's mask becomes memory: as in the authors' predictor, or as "
        "transformers does it",
    )


class SAM2Memory(OverTransformers):
    """Supports are frames 0 to K-1 with their masks, the query is frame K.

    The query attends to the memory of all supports and to their object pointers, which carry how
    many frames ago they were: so the order of the supports matters a little. Where SAM 2 finds the
    object absent, all scores are -1024. A support without foreground enters as a frame where the
    object is not seen. Frames are squashed and resized bicubically, as SAM 2's video predictor
    does; its filling of small holes, which needs its own CUDA kernels, is left out. Masks are
    reduced antialiased, and pixels covered by half are inside.

    The original predictor makes a support's memory otherwise than transformers, which changes 0.4
    to 1.2% of the mask's pixels: its object pointer is of the single-mask token (there of the best
    of three masks), and its spatial memory is encoded from the mask as it comes back from a quarter
    of its size (there from the mask itself). `memory="transformers"` leaves both as they are there.
    """

    Options = SAM2MemoryOptions
    name = "sam2-memory"
    architecture = "Sam2VideoModel"
    published = "facebook/sam2.1-hiera-large"
    tiny_network = tiny_network
    original = SAM2
    card = Card(
        title="SAM 2 memory",
        summary="SAM 2's video memory: supports as frames with masks, the query as the next frame",
        source="https://arxiv.org/abs/2408.00714",
        year=2024,
        weights=published,
        licence="Apache-2.0 (as the hub says)",
        training_data="SA-1B and SA-V: masks in photographs and videos, without class names",
        sees_test_classes={
            "*": "unknown",
            "camvid": "partly",
            "coco": "partly",
            "fss1000": "partly",
            "pascal": "partly",
            "shapes": "no",
        },
    )
    support_reads_pixels = False

    def __init__(self, pretrained: Pretrained, memory: str = "original") -> None:
        self.network = pretrained.network
        if memory == "original":
            remember_as_original(self.network)
        size = int(self.network.config.image_size)
        super().__init__(pretrained, size=size, memory=memory)
        self.geometry = SquashAs(size, "bicubic", masks="half")
        self.image_key = f"sam2@{pretrained.key}:{self.network.dtype}"
        self._video = Video(self.network)

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> list[Features]:
        """Per image, `level0` (the finest) to `level2`: (h·w)×1×C each."""
        return self._video.features(images)

    @torch.inference_mode()
    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """Per support, its spatial memory, that memory's position encoding and object pointer."""
        encoded = []
        for mask, feature in zip(masks, features, strict=True):
            session = self._video.session([feature])
            session.add_mask_inputs(OBJECT, 0, mask[None, None])
            session.obj_with_new_inputs = [OBJECT]
            self.network(session, frame_idx=0)
            frame = session.output_dict_per_obj[OBJECT]["cond_frame_outputs"][0]
            encoded.append(Features({name: frame[name].clone() for name in _KEPT}))
        return encoded

    @torch.inference_mode()
    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """SAM 2's mask logits, B×h×w at a quarter of the grid's resolution, foreground > 0."""
        scores = []
        for query, shots in zip(queries, supports, strict=True):
            session = self._video.session([*[None] * len(shots), query])
            for frame, shot in enumerate(shots):
                session.store_output(OBJECT, frame, output_value=dict(shot.tensors))
            output = self.network(session, frame_idx=len(shots), run_mem_encoder=False)
            scores.append(output.pred_masks[0, 0].float())
        return torch.stack(scores)
