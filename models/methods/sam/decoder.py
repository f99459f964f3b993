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
    image = (embedding + dense).flatten(2).mT
    tokens, rows = _two_way(decoder.transformer, tokens, image, places.flatten(1).T, guidance)
    fine = decoder.activation(
        _normed(decoder.upscale_layer_norm, _quartered(decoder.upscale_conv1, rows))
    )
    fine = decoder.activation(_quartered(decoder.upscale_conv2, fine))
    filters = torch.stack(
        [mlp(tokens[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=1
    )
    height, width = embedding.shape[1:]
    cells = (fine @ filters.mT).unflatten(1, (height, width, 2, 2, 2, 2))
    masks = cells.permute(0, 7, 1, 3, 5, 2, 4, 6).reshape(len(tokens), -1, 4 * height, 4 * width)
    return masks, decoder.iou_prediction_head(tokens[:, 0])


def _quartered(conv: Any, rows: Tensor) -> Tensor:
    """A transposed convolution of 2×2 at stride 2, of P×N×C to P×4N×D.

    The four parts of a position follow each other, so that only the few masks must be put in the
    image's order, not all channels.
    """
    weight = conv.weight.permute(2, 3, 1, 0).flatten(0, 2)
    parts = F.linear(rows, weight, conv.bias.repeat(4))
    return parts.reshape(len(rows), -1, len(conv.bias))


def _normed(norm: Any, rows: Tensor) -> Tensor:
    """A layer norm over the channels, here the last."""
    return F.layer_norm(rows, rows.shape[2:], norm.weight, norm.bias, norm.eps)


def _two_way(
    transformer: Any, tokens: Tensor, image: Tensor, places: Tensor, guidance: Guidance | None
) -> tuple[Tensor, Tensor]:
    """Tokens (P×N×C) and image rows (P×hw×C) after attending to each other.

    The image's rows may come as 1×hw×C: what all prompts share in the first layer is computed once.
    """
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
    read = _from_image(transformer.final_attn_token_to_image, placed, keys + places, keys)
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
        queries = _among_tokens(layer.self_attn, queries, queries)
    else:
        queries = queries + _among_tokens(layer.self_attn, queries + query_places, queries)
    queries = layer.layer_norm1(queries)
    placed, image = queries + query_places, keys + key_places
    read = _from_image(layer.cross_attn_token_to_image, placed, image, keys, similarity)
    queries = layer.layer_norm2(queries + read)
    queries = layer.layer_norm3(queries + layer.mlp(queries))
    placed = queries + query_places
    keys = _from_tokens(layer.cross_attn_image_to_token, keys, image, placed, queries)
    return queries, layer.layer_norm4(keys)


def _among_tokens(attention: Any, placed: Tensor, values: Tensor) -> Tensor:
    """Multi-head attention of P×N×C tokens to each other."""
    heads = attention.num_attention_heads
    query, key, value = (
        projected.unflatten(2, (heads, -1)).transpose(1, 2)
        for projected in (
            attention.q_proj(placed),
            attention.k_proj(placed),
            attention.v_proj(values),
        )
    )
    read = F.scaled_dot_product_attention(query, key, value)
    output: Tensor = attention.out_proj(read.transpose(1, 2).flatten(2))
    return output


# The image has thousands of rows, a prompt a dozen tokens. So the projections of the rows are moved
# over to the tokens, (x W) · q = x · (W q), which gives the same at half the work.


def _from_image(
    attention: Any, placed: Tensor, keys: Tensor, values: Tensor, similarity: Tensor | None = None
) -> Tensor:
    """Tokens (P×N×C) attend to image rows; guided by softmax(softmax(q·k/√d) + similarity).

    The bias of the keys adds the same to all of a token's logits, and has no effect.
    """
    heads = attention.num_attention_heads
    query = attention.q_proj(placed).unflatten(2, (heads, -1))
    query = torch.einsum("pnhd,hdc->phnc", query, _by_head(attention.k_proj.weight, heads))
    logits = query.flatten(1, 2) @ keys.mT / _head_size(attention) ** 0.5
    weights = logits.softmax(-1)
    if similarity is not None:
        weights = (weights + similarity).softmax(-1)
    read = (weights @ values).unflatten(1, (heads, -1))
    read = torch.einsum("phnc,hdc->pnhd", read, _by_head(attention.v_proj.weight, heads))
    output: Tensor = attention.out_proj(read.flatten(2) + attention.v_proj.bias)
    return output


def _from_tokens(
    attention: Any, rows: Tensor, placed: Tensor, token_keys: Tensor, tokens: Tensor
) -> Tensor:
    """Image rows, P×hw×C or 1×hw×C, plus what they read from the tokens (P×N×C)."""
    heads = attention.num_attention_heads
    keys = attention.k_proj(token_keys).unflatten(2, (heads, -1)) / _head_size(attention) ** 0.5
    bias = torch.einsum("pnhd,hd->phn", keys, attention.q_proj.bias.unflatten(0, (heads, -1)))
    keys = torch.einsum("pnhd,hdc->phnc", keys, _by_head(attention.q_proj.weight, heads))
    logits = keys.flatten(1, 2) @ placed.mT + bias.flatten(1)[:, :, None]
    by_head = logits.reshape(len(tokens), heads, -1, logits.shape[2])
    weights = by_head.softmax(2).flatten(1, 2).mT
    values = attention.v_proj(tokens).unflatten(2, (heads, -1))
    values = torch.einsum("pnhd,hdc->phnc", values, _by_head(attention.out_proj.weight.T, heads))
    return torch.baddbmm(rows + attention.out_proj.bias, weights, values.flatten(1, 2))


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """A projection's weight (h·d×C) as h×d×C."""
    return weight.reshape(heads, -1, weight.shape[1])


def _head_size(attention: Any) -> int:
    """Channels of a head."""
    return int(attention.q_proj.out_features // attention.num_attention_heads)
