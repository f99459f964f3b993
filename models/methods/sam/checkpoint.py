"""Checkpoints of the original repository (`sam_vit_{b,l,h}_*.pth`) for transformers' SamModel."""

import re
from collections.abc import Mapping

from torch import Tensor, nn

# Original name -> transformers' name, for the parts that are called otherwise; applied in order.
_RENAMED = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"\bblocks\.", "layers."),
    (r"\bpatch_embed\.proj\.", "patch_embed.projection."),
    (r"\bneck\.0\.", "neck.conv1."),
    (r"\bneck\.1\.", "neck.layer_norm1."),
    (r"\bneck\.2\.", "neck.conv2."),
    (r"\bneck\.3\.", "neck.layer_norm2."),
    (r"\bpe_layer\.positional_encoding_gaussian_matrix$", "shared_embedding.positional_embedding"),
    (r"\bpoint_embeddings\.", "point_embed."),
    (r"\bmask_downscaling\.0\.", "mask_embed.conv1."),
    (r"\bmask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"\bmask_downscaling\.3\.", "mask_embed.conv2."),
    (r"\bmask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"\bmask_downscaling\.6\.", "mask_embed.conv3."),
    (r"\boutput_upscaling\.0\.", "upscale_conv1."),
    (r"\boutput_upscaling\.1\.", "upscale_layer_norm."),
    (r"\boutput_upscaling\.3\.", "upscale_conv2."),
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
    (r"(_mlps\.\d+|iou_prediction_head)\.layers\.0\.", r"\1.proj_in."),
    (r"(_mlps\.\d+|iou_prediction_head)\.layers\.1\.", r"\1.layers.0."),
    (r"(_mlps\.\d+|iou_prediction_head)\.layers\.2\.", r"\1.proj_out."),
)

_SHARED = "shared_image_embedding.positional_embedding"

# Width of the image encoder -> heads, and which of its layers see the whole image.
_ENCODERS = {
    768: (12, [2, 5, 8, 11]),
    1024: (16, [5, 11, 17, 23]),
    1280: (16, [7, 15, 23, 31]),
}


def is_original(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the original repository's names."""
    return "image_encoder.pos_embed" in tensors


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An original state dict under transformers' names."""
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        result[name] = tensor
    result[_SHARED] = result["prompt_encoder.shared_embedding.positional_embedding"]
    return result


def bare_network(tensors: Mapping[str, Tensor]) -> nn.Module | None:
    """The network that an original state dict fills; None where its image encoder is unknown."""
    import transformers

    width = tensors["image_encoder.pos_embed"].shape[-1]
    if width not in _ENCODERS:
        return None
    heads, whole = _ENCODERS[width]
    vision = {
        "hidden_size": width,
        "num_hidden_layers": whole[-1] + 1,
        "num_attention_heads": heads,
        "global_attn_indexes": whole,
    }
    network: nn.Module = transformers.SamModel(transformers.SamConfig(vision_config=vision))
    return network
