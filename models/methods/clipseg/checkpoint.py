"""CLIPSeg's own files: rd64-uni.pth, rd64-uni-refined.pth, rd64-uni-phrasepas5i-*.pth and others.

The published ones hold the decoder alone, for a CLIP ViT-B/16 that is read from elsewhere.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from models.errors import ModelError
from models.weights.original import Original, State, count, renamed

_DECODER = (
    (r"^film_(mul|add)\.", r"decoder.film_\1."),
    (r"^reduce\.", None),  # of the authors' base class, never used
    (r"^reduces\.", "decoder.reduces."),
    (r"^trans_conv\.", "decoder.transposed_convolution."),
    (r"^blocks\.", "decoder.layers."),
    (r"^(decoder\..*self_attn)\.in_proj_(weight|bias)$", r"\1.{q,k,v}_proj.\2"),
    (r"^(decoder\..*)\.linear(\d)\.", r"\1.mlp.fc\2."),
    (r"^(decoder\.layers.*)\.norm(\d)\.", r"\1.layer_norm\2."),
)
_CLIP = (
    (r"^model\.", None),  # the same tensors as clip_model.visual
    (r"^clip_model\.logit_scale$", "clip.logit_scale"),
    (r"^clip_model\.text_projection$", "clip.text_projection.weight"),
    (r"^clip_model\.visual\.proj$", "clip.visual_projection.weight"),
    (r"^clip_model\.visual\.", "clip.vision_model."),
    (r"^clip_model\.", "clip.text_model."),
    (r"\.class_embedding$", ".embeddings.class_embedding"),
    (r"\.positional_embedding$", ".embeddings.position_embedding.weight"),
    (r"\.token_embedding\.", ".embeddings.token_embedding."),
    (r"\.conv1\.", ".embeddings.patch_embedding."),
    (r"\.ln_pre\.", ".pre_layrnorm."),
    (r"\.ln_post\.", ".post_layernorm."),
    (r"\.ln_final\.", ".final_layer_norm."),
    (r"\.transformer\.resblocks\.", ".encoder.layers."),
    (r"\.attn\.in_proj_(weight|bias)$", r".self_attn.{q,k,v}_proj.\1"),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"\.ln_(\d)\.", r".layer_norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)
_TRANSPOSED = ("clip.text_projection.weight", "clip.visual_projection.weight")

CLIP = "openai/clip-vit-base-patch16"
_HEAD = 64  # width of an attention head of CLIP
_DECODER_HEADS = 4
# Layers that the decoder reads: of the models trained for PASCAL-5i, and of the others.
_PASCAL_LAYERS, _LAYERS = (3, 7, 9), (3, 6, 9)


def original(clip: Mapping[str, Tensor] | None) -> Original:
    """How the authors' files are read.

    Args:
        clip: tensors of CLIP as transformers names them, for a file that holds the decoder alone.
    """
    return Original("rd64-uni*.pth", "film_mul.weight", functools.partial(_read, clip))


def _read(
    clip: Mapping[str, Tensor] | None, tensors: Mapping[str, Tensor], filename: str
) -> tuple[Any, State]:
    """The configuration and the tensors of a file; which layers are read, its name says."""
    import transformers

    state = renamed(tensors, (*_DECODER, *_CLIP))
    if _TRANSPOSED[0] in state and clip is not None:
        raise ModelError(f"{filename} holds its own CLIP; leave the option clip out")
    if _TRANSPOSED[0] in state:
        state |= {name: state[name].T.contiguous() for name in _TRANSPOSED}
    elif clip is not None:
        named = {
            name if name.startswith("clip.") else f"clip.{name}": t for name, t in clip.items()
        }
        unused = re.compile(r"^clip\.decoder\.|\.position_ids$")
        state |= {name: tensor for name, tensor in named.items() if not unused.search(name)}
    else:
        raise ModelError(
            f"{filename} holds the decoder alone: name the CLIP that it was trained on as the "
            f"option clip={CLIP} (a hub id, or a folder with its model.safetensors)"
        )
    places = state["clip.vision_model.embeddings.position_embedding.weight"].shape[0]
    width, _, patch, _ = state["clip.vision_model.embeddings.patch_embedding.weight"].shape
    length, text = state["clip.text_model.embeddings.position_embedding.weight"].shape
    layers = _PASCAL_LAYERS if re.search(r"pas5i", filename) else _LAYERS
    config = transformers.CLIPSegConfig(
        text_config={
            "vocab_size": state["clip.text_model.embeddings.token_embedding.weight"].shape[0],
            "hidden_size": text,
            "intermediate_size": 4 * text,
            "num_hidden_layers": count(state, r"^clip\.text_model\.encoder\.layers\.(\d+)\."),
            "num_attention_heads": text // _HEAD,
            "max_position_embeddings": length,
        },
        vision_config={
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": count(state, r"^clip\.vision_model\.encoder\.layers\.(\d+)\."),
            "num_attention_heads": width // _HEAD,
            "image_size": round((places - 1) ** 0.5) * patch,
            "patch_size": patch,
        },
        projection_dim=state["clip.visual_projection.weight"].shape[0],
        extract_layers=list(layers),
        reduce_dim=len(state["decoder.film_mul.bias"]),
        decoder_num_attention_heads=_DECODER_HEADS,
        decoder_intermediate_size=len(state["decoder.layers.0.mlp.fc1.bias"]),
        conditional_layer=0,
        use_complex_transposed_convolution="trans_conv.0.weight" in tensors,
    )
    return config, state
