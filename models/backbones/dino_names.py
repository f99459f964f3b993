"""DINOv2's and DINOv3's own files: facebookresearch/dinov2 and facebookresearch/dinov3.

The sizes are those of the backbone that is asked for; tensors of another shape are refused.
"""

from collections.abc import Mapping

from torch import Tensor

from models.weights.original import Original, State, renamed

_EMBEDDED = (
    (r"^(cls|mask)_token$", r"embeddings.\1_token"),
    (r"\bls(\d)\.gamma$", r"layer_scale\1.lambda1"),
)
_V2 = (
    *_EMBEDDED,
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^blocks\.", "encoder.layer."),
    (r"\battn\.qkv\.", "attention.attention.{query,key,value}."),
    (r"\battn\.proj\.", "attention.output.dense."),
    (r"^norm\.", "layernorm."),
)
_V3 = (
    *_EMBEDDED,
    (r"^storage_tokens$", "embeddings.register_tokens"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings."),
    (r"^rope_embed\.periods$|\.bias_mask$", None),
    (r"^blocks\.", "layer."),
    (r"\battn\.qkv\.", "attention.{q,k,v}_proj."),
    (r"\battn\.proj\.", "attention.o_proj."),
    (r"\bmlp\.fc1\.", "mlp.up_proj."),
    (r"\bmlp\.fc2\.", "mlp.down_proj."),
)


def _read_v2(tensors: Mapping[str, Tensor], filename: str) -> tuple[None, State]:
    if "register_tokens" in tensors:
        raise ValueError("those without registers alone are known: dinov2_vit*14_pretrain.pth")
    return None, renamed(tensors, _V2)


def _read_v3(tensors: Mapping[str, Tensor], filename: str) -> tuple[None, State]:
    state = renamed(tensors, _V3)
    state["embeddings.mask_token"] = state["embeddings.mask_token"][None]
    # The bias of the keys is masked in every published file, and has no place in transformers.
    return None, {name: tensor for name, tensor in state.items() if "k_proj.bias" not in name}


DINOV2 = Original("dinov2_vit*14_pretrain.pth", "blocks.0.ls1.gamma", _read_v2)
DINOV3 = Original("dinov3_vit*_pretrain_*.pth", "storage_tokens", _read_v3)
