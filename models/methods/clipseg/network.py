"""CLIPSeg's network at a tiny size."""

from torch import nn


def tiny_network() -> nn.Module:
    """CLIPSeg on 32×32 pixels, with 64,000 random parameters, large enough to give clear masks."""
    import transformers

    text = {
        "vocab_size": 100,
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 16,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
    }
    config = transformers.CLIPSegConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=32,
        extract_layers=[1, 2, 3],
        reduce_dim=16,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=32,
        conditional_layer=0,
    )
    network: nn.Module = transformers.CLIPSegForImageSegmentation(config)
    return network
