"""SegGPT's own file, seggpt_vit_large.pth of baaivision/Painter."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from models.weights.original import Original, State, count, renamed

_RENAMED = (
    (r"^mask_token$", "model.embeddings.mask_token"),
    (r"^segment_token_x$", "model.embeddings.segment_token_input"),
    (r"^segment_token_y$", "model.embeddings.segment_token_prompt"),
    (r"^type_token_cls$", "model.embeddings.type_token_semantic"),
    (r"^type_token_ins$", "model.embeddings.type_token_instance"),
    (r"^pos_embed$", "model.embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "model.embeddings.patch_embeddings.projection."),
    (r"^blocks\.", "model.encoder.layers."),
    (r"\.attn\.", ".attention."),
    (r"\.mlp\.fc", ".mlp.lin"),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"^norm\.", "model.encoder.layernorm."),
    (r"^decoder_embed\.", "decoder.decoder_embed."),
    (r"^decoder_pred\.0\.", "decoder.decoder_pred.conv."),
    (r"^decoder_pred\.1\.", "decoder.decoder_pred.layernorm."),
    (r"^decoder_pred\.3\.", "decoder.decoder_pred.head."),
)
_OUTPUTS = 4  # layers that are decoded: the last of each quarter


def _read(tensors: Mapping[str, Tensor], filename: str) -> tuple[Any, State]:
    import transformers

    width, patch = tensors["patch_embed.proj.weight"].shape[0::3]
    depth = count(tensors, r"^blocks\.(\d+)\.")
    reach, head = tensors["blocks.0.attn.rel_pos_h"].shape
    across = tensors["blocks.0.attn.rel_pos_w"].shape[0]
    pretrained = round((tensors["pos_embed"].shape[1] - 1) ** 0.5)
    config = transformers.SegGptConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=width // head,
        image_size=((reach + 1) // 2 * patch, (across + 1) // 2 * patch),
        patch_size=patch,
        pretrain_image_size=pretrained * patch,
        mlp_dim=len(tensors["blocks.0.mlp.fc1.bias"]),
        intermediate_hidden_state_indices=[
            (quarter + 1) * depth // _OUTPUTS - 1 for quarter in range(_OUTPUTS)
        ],
        decoder_hidden_size=len(tensors["decoder_pred.0.bias"]),
    )
    return config, renamed(tensors, _RENAMED)


SEGGPT = Original("seggpt_vit_large.pth", "segment_token_x", _read)
