"""SAM 2's own files, sam2.1_hiera_*.pt and sam2_hiera_*.pt of facebookresearch/sam2."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.methods.sam.checkpoint import PROMPTS_AND_MASKS
from models.weights.original import Original, State, count, renamed

_RENAMED = (
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"\bpatch_embed\.proj\.", "patch_embed.projection."),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    *PROMPTS_AND_MASKS,
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
    (r"\.gamma$", ".scale"),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"(memory_fuser\.layers\.\d+)\.norm\.", r"\1.layer_norm."),
    (r"^memory_attention\.norm\.", "memory_attention.layer_norm."),
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
    (r"\.out_proj\.", ".o_proj."),
    # Two layers within a block, three in a head of its own.
    (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
    (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
    (r"(_mlps\.\d+|_head|^object_pointer_proj)\.layers\.0\.", r"\1.proj_in."),
    (r"(_mlps\.\d+|_head|^object_pointer_proj)\.layers\.1\.", r"\1.layers.0."),
    (r"(_mlps\.\d+|_head|^object_pointer_proj)\.layers\.2\.", r"\1.proj_out."),
)

# Blocks of each stage -> heads of the first, sides of the windows, blocks that see everything:
# what the shapes do not tell (`configs/sam2.1/*.yaml`).
TRUNKS: dict[tuple[int, ...], tuple[int, list[int], list[int]]] = {
    (1, 2, 7, 2): (1, [8, 4, 14, 7], [5, 7, 9]),
    (1, 2, 11, 2): (1, [8, 4, 14, 7], [7, 10, 13]),
    (2, 3, 16, 3): (2, [8, 4, 14, 7], [12, 16, 20]),
    (2, 6, 36, 4): (2, [8, 4, 16, 8], [23, 33, 43]),
}
SIDE = 1024  # of the images, in pixels; no shape tells
_STRIDES = (4, 8, 16)
_DECODER_HEADS = 8


def _read(tensors: Mapping[str, Tensor], filename: str) -> tuple[Any, State]:
    import transformers

    trunk = "image_encoder.trunk"
    depth = count(tensors, r"^image_encoder\.trunk\.blocks\.(\d+)\.")
    outputs = [len(tensors[f"{trunk}.blocks.{index}.attn.proj.bias"]) for index in range(depth)]
    widths = sorted(set(outputs))
    stages = tuple(outputs.count(width) for width in widths)
    if stages not in TRUNKS:
        raise ValueError(f"no published image encoder has stages of {stages} blocks")
    heads, windows, whole = TRUNKS[stages]
    width = len(tensors["memory_attention.norm.weight"])
    places = tensors[f"{trunk}.pos_embed"].shape
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=widths[0],
        num_attention_heads=heads,
        image_size=[SIDE, SIDE],
        blocks_per_stage=list(stages),
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[heads * 2**stage for stage in range(len(stages))],
        window_size_per_stage=windows,
        global_attention_blocks=whole,
        window_positional_embedding_background_size=list(places[2:]),
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=widths[::-1],
        fpn_hidden_size=width,
        num_feature_levels=len(_STRIDES),
        backbone_feature_sizes=[[SIDE // stride] * 2 for stride in _STRIDES],
    )
    config = transformers.Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={
            "hidden_size": width,
            "image_size": SIDE,
            "patch_size": _STRIDES[-1],
            "mask_input_channels": len(tensors["sam_prompt_encoder.mask_downscaling.3.bias"]),
        },
        mask_decoder_config={
            "hidden_size": width,
            "mlp_dim": len(tensors["sam_mask_decoder.transformer.layers.0.mlp.layers.0.bias"]),
            "num_attention_heads": _DECODER_HEADS,
            "iou_head_hidden_dim": len(
                tensors["sam_mask_decoder.iou_prediction_head.layers.0.bias"]
            ),
        },
        image_size=SIDE,
        memory_attention_hidden_size=width,
        memory_attention_num_layers=count(tensors, r"^memory_attention\.layers\.(\d+)\."),
        memory_attention_feed_forward_hidden_size=len(
            tensors["memory_attention.layers.0.linear1.bias"]
        ),
        memory_attention_rope_feat_sizes=[SIDE // _STRIDES[-1]] * 2,
        memory_encoder_hidden_size=width,
        memory_encoder_output_channels=len(tensors["memory_encoder.out_proj.bias"]),
        mask_downsampler_embed_dim=width,
        memory_fuser_embed_dim=width,
        memory_fuser_intermediate_dim=len(tensors["memory_encoder.fuser.layers.0.pwconv1.bias"]),
        enable_occlusion_spatial_embedding="no_obj_embed_spatial" in tensors,
        enable_temporal_pos_encoding_for_object_pointers="obj_ptr_tpos_proj.weight" in tensors,
    )
    state = renamed(tensors, _RENAMED)
    points = "prompt_encoder.point_embeddings"
    rows = [state.pop(f"{points}.{kind}.weight") for kind in range(4)]
    state["prompt_encoder.point_embed.weight"] = torch.cat(rows)
    shared = state["prompt_encoder.shared_embedding.positional_embedding"]
    state["shared_image_embedding.positional_embedding"] = shared
    return config, {_layered(name): tensor for name, tensor in state.items()}


def _layered(name: str) -> str:
    """A name in the mask downsampler, whose convolution, norm and activation repeat by threes."""
    match = re.fullmatch(r"(memory_encoder\.mask_downsampler)\.encoder\.(\d+)\.(.*)", name)
    if match is None:
        return name
    layer, part = divmod(int(match[2]), 3)
    if layer == 4:  # of the published four, which reduce by 2 each
        return f"{match[1]}.final_conv.{match[3]}"
    return f"{match[1]}.layers.{layer}.{('conv', 'layer_norm')[part]}.{match[3]}"


SAM2 = Original("sam2.1_hiera_*.pt", "image_encoder.trunk.pos_embed", _read)
