"""SAM 3's network at a tiny size, and its reading of words."""

from collections.abc import Callable
from typing import Any

from torch import nn

from models.weights.source import locate

Words = Callable[[str], list[int]]  # text to tokens
_LONGEST = 32  # tokens that SAM 3 reads
_TINY_VOCABULARY = 100
_BEGIN, _END = 1, 2


def tiny_network() -> nn.Module:
    """SAM 3 on 56×56 pixels, with 300,000 random parameters; its queries are sure of themselves."""
    import transformers

    part: dict[str, Any] = {
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "num_layers": 2,
        "initializer_range": 0.3,
    }
    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
        "window_size": 2,
        "global_attn_indexes": [1],
        "pretrain_image_size": 28,
        "initializer_range": 0.3,
    }
    config = transformers.Sam3Config(
        vision_config={
            "model_type": "sam3_vision_model",
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "backbone_config": backbone,
        },
        text_config={
            "model_type": "clip_text_model",
            "vocab_size": _TINY_VOCABULARY,
            "hidden_size": 32,
            "intermediate_size": 64,
            "projection_dim": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": _LONGEST,
            "bos_token_id": _BEGIN,
            "eos_token_id": _END,
        },
        geometry_encoder_config=part,
        detr_encoder_config=part,
        detr_decoder_config=part | {"num_queries": 8},
        mask_decoder_config={
            "hidden_size": 32,
            "num_upsampling_stages": 3,
            "num_attention_heads": 2,
            "initializer_range": 0.3,
        },
        initializer_range=0.3,
    )
    network: nn.Module = transformers.Sam3Model(config)
    # Random weights would as likely find nothing at all.
    network.get_parameter("detr_decoder.presence_head.layer3.bias").data.add_(10)
    network.get_parameter("dot_product_scoring.query_proj.weight").data.neg_()
    return network


def tiny_words(text: str) -> list[int]:
    """Some tokens of the tiny network for a text."""
    letters = [3 + byte % (_TINY_VOCABULARY - 3) for byte in text.encode()]
    return [_BEGIN, *letters[: _LONGEST - 2], _END]


def words_of(spec: str, hint: str) -> Words:
    """The tokens of text, by the `tokenizer.json` beside published weights.

    Args:
        spec: a folder or a hub id, as of the weights.
        hint: where to get it; ends the message where there is none.

    Raises:
        ModelError: where nothing is found.
    """
    path = locate(spec, hint=hint, filenames=("tokenizer.json",)).path
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(_LONGEST)
    return lambda text: list(tokenizer.encode(text).ids)
