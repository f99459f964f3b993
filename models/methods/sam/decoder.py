"""SAM's mask decoder, written out so that PerSAM's guidance can enter its attention.

The modules and their weights are those of transformers' `SamMaskDecoder`. Its own forward pass
does the same without guidance; with guidance it adds the similarity before the softmax, once, and
leaves the target out of the last attention, where the authors of PerSAM do otherwise.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Guidance:
    """What PerSAM knows of its target (Zhang et al., ICLR 2024).

    Attributes:
        similarity: of each image position with the target, h·w in 0..1.
        target: the target's embedding, C.
    """

    similarity: Tensor
    target: Tensor


def decode(
    decoder: Any,
    embedding: Tensor,
    places: Tensor,
    sparse: Tensor,
    dense: Tensor,
    guidance: Guidance | None = None,
) -> tuple[Tensor, Tensor]:
    """Decode P prompts on one image.

    Args:
        decoder: a `SamMaskDecoder`.
        embedding: of the image, C×h×w.
        places: position encoding of the image, C×h×w.
        sparse: the prompts' tokens, P×N×C.
        dense: the prompts' maps, P×C×h×w or 1×C×h×w.
        guidance: steers the attention to a target; None for SAM as it is.

    Returns:
        Mask logits P×4×4h×4w and predicted IoU P×4. The first of the four is SAM's single mask,
        the others are its three for ambiguous prompts.
    """
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse.to(own.dtype)], dim=1)
    image = (embedding + dense).expand(len(sparse), -1, -1, -1)
    tokens, rows = _two_way(
        decoder.transformer, tokens, image.flatten(2).mT, places.flatten(1).T, guidance
    )
    fine = decoder.upscale_conv1(rows.mT.reshape(image.shape))
    fine = decoder.activation(decoder.upscale_layer_norm(fine))
    fine = decoder.activation(decoder.upscale_conv2(fine))
    filters = torch.stack(
        [mlp(tokens[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=1
    )
    masks = (filters @ fine.flatten(2)).unflatten(2, fine.shape[2:])
    return masks, decoder.iou_prediction_head(tokens[:, 0])


def _two_way(
    transformer: Any, tokens: Tensor, image: Tensor, places: Tensor, guidance: Guidance | None
) -> tuple[Tensor, Tensor]:
    """Tokens (P×N×C) and image rows (P×hw×C) after attending to each other."""
    similarity, target = None, None
    if guidance is not None:
        similarity = guidance.similarity.to(tokens.dtype)
        target = guidance.target.to(tokens.dtype)
        # The authors add the target in place. Before the first layer that changes the tokens'
        # own position encodings too, which are the same tensor.
        tokens = tokens + target
    queries, keys = tokens, image
    for index, layer in enumerate(transformer.layers):
        if index > 0 and target is not None:
            queries = queries + target
        queries, keys = _layer(layer, queries, keys, tokens, places, similarity)
    placed = queries + tokens
    if target is not None:
        placed = placed + target
    read = _attend(transformer.final_attn_token_to_image, placed, keys + places, keys)
    return transformer.layer_norm_final_attn(queries + read), keys


def _layer(
    layer: Any,
    queries: Tensor,
    keys: Tensor,
    query_places: Tensor,
    key_places: Tensor,
    similarity: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Self-attention of tokens, tokens to image (guided), MLP, image to tokens."""
    if layer.skip_first_layer_pe:
        queries = _attend(layer.self_attn, queries, queries, queries)
    else:
        placed = queries + query_places
        queries = queries + _attend(layer.self_attn, placed, placed, queries)
    queries = layer.layer_norm1(queries)
    placed = queries + query_places
    read = _attend(layer.cross_attn_token_to_image, placed, keys + key_places, keys, similarity)
    queries = layer.layer_norm2(queries + read)
    queries = layer.layer_norm3(queries + layer.mlp(queries))
    placed = queries + query_places
    read = _attend(layer.cross_attn_image_to_token, keys + key_places, placed, queries)
    return queries, layer.layer_norm4(keys + read)


def _attend(
    attention: Any, query: Tensor, key: Tensor, value: Tensor, similarity: Tensor | None = None
) -> Tensor:
    """Multi-head attention; guided by softmax(softmax(q·k/√d) + similarity)."""
    heads = attention.num_attention_heads
    query = attention.q_proj(query).unflatten(2, (heads, -1)).transpose(1, 2)
    key = attention.k_proj(key).unflatten(2, (heads, -1)).transpose(1, 2)
    value = attention.v_proj(value).unflatten(2, (heads, -1)).transpose(1, 2)
    if similarity is None:
        read = F.scaled_dot_product_attention(query, key, value)
    else:
        weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
        read = (weights + similarity).softmax(-1) @ value
    output: Tensor = attention.out_proj(read.transpose(1, 2).flatten(2))
    return output
