"""Checkpoints of the original repositories for transformers' SamModel.

SAM's (`sam_vit_{b,l,h}_*.pth`), and MobileSAM's (`mobile_sam.pt`), whose image encoder is another.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from models.methods.sam.tinyvit import bare_encoder, folded, is_mobile

# Original name -> transformers' name, for the parts that are called otherwise; applied in order.
# These are SAM 2's as well:
PROMPTS_AND_MASKS = (
    (r"\bpe_layer\.positional_encoding_gaussian_matrix$", "shared_embedding.positional_embedding"),
    (r"\bmask_downscaling\.0\.", "mask_embed.conv1."),
    (r"\bmask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"\bmask_downscaling\.3\.", "mask_embed.conv2."),
    (r"\bmask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"\bmask_downscaling\.6\.", "mask_embed.conv3."),
    (r"\boutput_upscaling\.0\.", "upscale_conv1."),
    (r"\boutput_upscaling\.1\.", "upscale_layer_norm."),
    (r"\boutput_upscaling\.3\.", "upscale_conv2."),
)

_RENAMED = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"\bblocks\.", "layers."),
    (r"\bpatch_embed\.proj\.", "patch_embed.projection."),
    (r"\bneck\.0\.", "neck.conv1."),
    (r"\bneck\.1\.", "neck.layer_norm1."),
    (r"\bneck\.2\.", "neck.conv2."),
    (r"\bneck\.3\.", "neck.layer_norm2."),
    (r"\bpoint_embeddings\.", "point_embed."),
    *PROMPTS_AND_MASKS,
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
    (r"(_mlps\.\d+|iou_prediction_head)\.layers\.0\.", r"\1.proj_in."),
    (r"(_mlps\.\d+|iou_prediction_head)\.layers\.1\.", r"\1.layers.0."),
    (r"(_mlps\.\d+|iou_prediction_head)\.layers\.2\.", r"\1.proj_out."),
)

DECODER_HEADS = 8  # in every published SAM; no shape tells
_SHARED = "shared_image_embedding.positional_embedding"


def is_original(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the original repository's names."""
    return "image_encoder.pos_embed" in tensors or is_mobile(tensors)


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An original state dict under transformers' names."""
    result: dict[str, Tensor] = {}
    mobile = is_mobile(tensors)
    for name, tensor in (folded(tensors) if mobile else tensors).items():
        if mobile and name.startswith("image_encoder."):
            result[name.replace("image_encoder.", "vision_encoder.", 1)] = tensor
            continue
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        result[name] = tensor
    result[_SHARED] = result["prompt_encoder.shared_embedding.positional_embedding"]
    return result


def bare_network(tensors: Mapping[str, Tensor]) -> nn.Module | None:
    """The network that an original state dict fills; None where it lacks what says its sizes.

    Shapes say all but the heads of the decoder.
    """

    def shape(name: str) -> tuple[int, ...]:
        return tuple(tensors[name].shape)

    depth = sum(name.endswith(".attn.rel_pos_h") for name in tensors)
    try:
        if is_mobile(tensors):
            return _mobile_network(tensors)
        _, grid, _, width = shape("image_encoder.pos_embed")
        reaches = [shape(f"image_encoder.blocks.{n}.attn.rel_pos_h") for n in range(depth)]
        whole = [index for index, (reach, _) in enumerate(reaches) if reach == 2 * grid - 1]
        windows = [(reach + 1) // 2 for reach, _ in reaches if reach != 2 * grid - 1]
        patch = shape("image_encoder.patch_embed.proj.weight")[-1]
        channels = shape("mask_decoder.iou_token.weight")[1]
        vision = {
            "hidden_size": width,
            "output_channels": channels,
            "num_hidden_layers": depth,
            "num_attention_heads": width // reaches[0][1],
            "image_size": grid * patch,
            "patch_size": patch,
            "window_size": max(windows, default=0),
            "global_attn_indexes": whole,
            "num_pos_feats": channels // 2,
            "mlp_dim": shape("image_encoder.blocks.0.mlp.lin1.bias")[0],
        }
        return _network(tensors, vision)
    except (KeyError, IndexError, ValueError):
        return None


def _network(tensors: Mapping[str, Tensor], vision: Mapping[str, Any]) -> nn.Module:
    """SAM around an image encoder; shapes of the decoder say the rest."""
    import transformers

    def shape(name: str) -> tuple[int, ...]:
        return tuple(tensors[name].shape)

    channels = shape("mask_decoder.iou_token.weight")[1]
    prompt = {
        "hidden_size": channels,
        "image_size": vision["image_size"],
        "patch_size": vision["patch_size"],
        "mask_input_channels": shape("prompt_encoder.mask_downscaling.3.bias")[0],
    }
    decoder = {
        "hidden_size": channels,
        "num_attention_heads": DECODER_HEADS,
        "mlp_dim": shape("mask_decoder.transformer.layers.0.mlp.lin1.bias")[0],
        "iou_head_hidden_dim": shape("mask_decoder.iou_prediction_head.layers.0.bias")[0],
    }
    network: nn.Module = transformers.SamModel(
        transformers.SamConfig(
            vision_config=dict(vision), prompt_encoder_config=prompt, mask_decoder_config=decoder
        )
    )
    return network


def _mobile_network(tensors: Mapping[str, Tensor]) -> nn.Module:
    """MobileSAM: SAM with TinyViT in the place of its image encoder, always on 1024×1024."""
    channels = int(tensors["mask_decoder.iou_token.weight"].shape[1])
    # Never used, and so as small as it can be.
    stand_in = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "mlp_dim": 8}
    sizes = {"image_size": 1024, "patch_size": 16, "num_pos_feats": channels // 2}
    network = _network(
        tensors, stand_in | sizes | {"output_channels": channels, "global_attn_indexes": [0]}
    )
    network.vision_encoder = bare_encoder(folded(tensors))
    return network
