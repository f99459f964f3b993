"""SAM's mask decoder, written out so that PerSAM's guidance can enter its attention.

The modules and their weights are those of transformers' `SamMaskDecoder`. Its own forward pass
does the same without guidance; with guidance it adds the similarity before the softmax, once, and
leaves the target out of the last attention, where the authors of PerSAM do otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Of the four masks the first is SAM's single one, the others are its three for ambiguous prompts.
ALL_MASKS, SINGLE_MASK, THREE_MASKS = slice(0, 4), slice(0, 1), slice(1, 4)

_ROWS = 512  # of the image, handled together on a CPU


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
    image: Tensor,
    places: Tensor,
    sparse: Tensor,
    guidance: Guidance | None = None,
    which: slice = ALL_MASKS,
) -> tuple[Tensor, Tensor]:
    """Decode P prompts on one image.

    Args:
        decoder: a `SamMaskDecoder`.
        image: its embedding plus the prompts' maps, P×h×w×C, or 1×h×w×C for all prompts.
        places: position encoding of the image, h×w×C.
        sparse: the prompts' tokens, P×N×C.
        guidance: steers the attention to a target; None for SAM as it is.
        which: `ALL_MASKS`, `SINGLE_MASK` or `THREE_MASKS`, M of them; the others are not computed.

    Returns:
        Mask logits P×M×4h×4w and predicted IoU P×M.
    """
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse.to(own.dtype)], dim=1)
    rows, key_places = _blocks(image.flatten(1, 2)), _blocks(places.flatten(0, 1))
    tokens, rows = _two_way(decoder.transformer, tokens, 1 + which.stop, rows, key_places, guidance)
    networks = list(enumerate(decoder.output_hypernetworks_mlps))[which]
    filters = torch.stack([network(tokens[:, 1 + i]) for i, network in networks], dim=1)
    height, width = image.shape[1:3]
    cells = torch.cat([_fine(decoder, block) @ filters.mT for block in rows], dim=1)
    cells = torch.unflatten(cells, 1, (height, width, 2, 2, 2, 2))
    masks = cells.permute(0, 7, 1, 3, 5, 2, 4, 6).reshape(len(tokens), -1, 4 * height, 4 * width)
    return masks, decoder.iou_prediction_head(tokens[:, 0])[:, which]


def _blocks(rows: Tensor) -> Sequence[Tensor]:
    """The image's rows (...×hw×C), on a CPU in blocks that stay in its cache.

    From layer to layer a row reads tokens alone, so that a block is done with before the next.
    """
    return torch.split(rows, rows.shape[-2] if rows.is_cuda else _ROWS, dim=-2)


def _fine(decoder: Any, rows: Tensor) -> Tensor:
    """Image rows, P×N×C, at four times the resolution: P×16N×C/8, those of a row together."""
    rows = _quartered(decoder.upscale_conv1, rows)
    rows = decoder.activation(_normed(decoder.upscale_layer_norm, rows))
    fine: Tensor = decoder.activation(_quartered(decoder.upscale_conv2, rows))
    return fine


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
    transformer: Any,
    tokens: Tensor,
    answers: int,
    image: Sequence[Tensor],
    places: Sequence[Tensor],
    guidance: Guidance | None,
) -> tuple[Tensor, Sequence[Tensor]]:
    """The first tokens, as many as `answers`, and the image's rows after attending to each other.

    The rows come in blocks, P×n×C or 1×n×C, with their places, n×C each.
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
    queries, tokens = queries[:, :answers], tokens[:, :answers]
    placed = queries + tokens
    if target is not None:
        placed = placed + target
    read = _from_image(transformer.final_attn_token_to_image, placed, keys, places)
    return transformer.layer_norm_final_attn(queries + read), keys


def _layer(
    layer: Any,
    queries: Tensor,
    keys: Sequence[Tensor],
    query_places: Tensor,
    key_places: Sequence[Tensor],
    similarity: Tensor | None,
) -> tuple[Tensor, Sequence[Tensor]]:
    """Self-attention of tokens, tokens to image (guided), MLP, image to tokens."""
    if layer.skip_first_layer_pe:
        queries = _among_tokens(layer.self_attn, queries, queries)
    else:
        queries = queries + _among_tokens(layer.self_attn, queries + query_places, queries)
    queries = layer.layer_norm1(queries)
    placed = queries + query_places
    read = _from_image(layer.cross_attn_token_to_image, placed, keys, key_places, similarity)
    queries = layer.layer_norm2(queries + read)
    queries = layer.layer_norm3(queries + layer.mlp(queries))
    placed = queries + query_places
    read_by_rows = _from_tokens(layer.cross_attn_image_to_token, placed, queries)
    keys = [
        layer.layer_norm4(read_by_rows(rows, rows + own))
        for rows, own in zip(keys, key_places, strict=True)
    ]
    return queries, keys


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
    attention: Any,
    placed: Tensor,
    image: Sequence[Tensor],
    places: Sequence[Tensor],
    similarity: Tensor | None = None,
) -> Tensor:
    """Tokens (P×N×C) attend to image rows; guided by softmax(softmax(q·k/√d) + similarity).

    The bias of the keys adds the same to all of a token's logits, and has no effect.
    """
    heads = attention.num_attention_heads
    query = attention.q_proj(placed).unflatten(2, (heads, -1)) / _head_size(attention) ** 0.5
    query = torch.einsum("pnhd,hdc->phnc", query, _by_head(attention.k_proj.weight, heads))
    query = query.flatten(1, 2)
    keys = (rows + own for rows, own in zip(image, places, strict=True))
    weights = torch.cat([query @ rows.mT for rows in keys], dim=2).softmax(2)
    if similarity is not None:
        weights = (weights + similarity).softmax(2)
    parts = torch.split(weights, [rows.shape[1] for rows in image], dim=2)
    read = torch.stack([part @ rows for part, rows in zip(parts, image, strict=True)]).sum(0)
    read = torch.unflatten(read, 1, (heads, -1))
    read = torch.einsum("phnc,hdc->pnhd", read, _by_head(attention.v_proj.weight, heads))
    output: Tensor = attention.out_proj(read.flatten(2) + attention.v_proj.bias)
    return output


def _from_tokens(
    attention: Any, token_keys: Tensor, tokens: Tensor
) -> Callable[[Tensor, Tensor], Tensor]:
    """Image rows attend to tokens (P×N×C).

    Returns:
        A function of rows, P×n×C or 1×n×C, and of the same with their places: what the rows are
        with what they read.
    """
    heads = attention.num_attention_heads
    keys = attention.k_proj(token_keys).unflatten(2, (heads, -1)) / _head_size(attention) ** 0.5
    bias = torch.einsum("pnhd,hd->phn", keys, attention.q_proj.bias.unflatten(0, (heads, -1)))
    keys = torch.einsum("pnhd,hdc->phnc", keys, _by_head(attention.q_proj.weight, heads))
    keys, bias = keys.flatten(1, 2), bias.flatten(1)[:, :, None]
    values = attention.v_proj(tokens).unflatten(2, (heads, -1))
    values = torch.einsum("pnhd,hdc->phnc", values, _by_head(attention.out_proj.weight.T, heads))
    values = values.flatten(1, 2) + attention.out_proj.bias / heads  # a head's weights add up to 1

    def read(rows: Tensor, placed: Tensor) -> Tensor:
        logits = torch.unflatten(keys @ placed.mT + bias, 1, (heads, -1))
        return torch.baddbmm(rows, logits.softmax(2).flatten(1, 2).mT, values)

    return read


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """A projection's weight (h·d×C) as h×d×C."""
    return weight.reshape(heads, -1, weight.shape[1])


def _head_size(attention: Any) -> int:
    """Channels of a head."""
    return int(attention.q_proj.out_features // attention.num_attention_heads)
