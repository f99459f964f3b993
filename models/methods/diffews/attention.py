"""Self-attention that keeps its keys and values, or attends over those kept from supports.

Only the self-attentions (`attn1`) of a diffusers U-Net get a processor of ours; with nothing to
keep and nothing to read it computes what diffusers' own processor computes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

Keep = Literal["kv", "hidden"]
# What one self-attention keeps: (keys, values), (normed hidden states,) or (queries,). Each is
# tokens × width, with a batch dimension in front where it comes from a pass.
Kept = tuple[Tensor, ...]
# Kept by every layer for every query's supports: layers × queries × supports.
SupportBank = Sequence[Sequence[Sequence[Kept]]]

# An attention of one's own: from layer, module and hidden states (batch × tokens × width) the
# result before the output projection, or None where the layer's own attention shall do.
Replacement = Callable[[int, Any, Tensor], Tensor | None]

T = TypeVar("T")

_FORWARD_ORDER = ("down_blocks", "mid_block", "up_blocks")
_SUFFIX = "attn1.processor"


class _AllKept(Exception):
    """The last self-attention has kept what it should: the rest of the pass has no reader."""


class AttentionBank:
    """The self-attentions of one U-Net, and what they exchange between two passes.

    A bank serves one pass at a time.

    Attributes:
        names: the self-attentions in the order in which a pass meets them.
    """

    def __init__(self, unet: Any) -> None:
        """Install the processors; `remove` restores those that were there."""
        self._unet = unet
        self._before = dict(unet.attn_processors)
        names = sorted(
            (name for name in self._before if name.endswith(_SUFFIX)),
            key=lambda name: _FORWARD_ORDER.index(name.split(".")[0]),
        )
        self.names = tuple(name.removesuffix(".processor") for name in names)
        self.layers = len(names)
        self.keep: Keep | Literal["query"] | None = None
        self.kept: list[Kept] = []
        self.whole = False
        self.supports: SupportBank | None = None
        self.bias: Mapping[int, Tensor] = {}
        self.replacement: Replacement | None = None
        ours = {name: BankAttention(self, layer) for layer, name in enumerate(names)}
        unet.set_attn_processor({**self._before, **ours})

    def remove(self) -> None:
        """Give the U-Net its former processors back."""
        self._unet.set_attn_processor(dict(self._before))

    def record(
        self,
        run: Callable[[], object],
        keep: Keep | Literal["query"] = "kv",
        whole: bool = False,
    ) -> list[Kept]:
        """Run a support pass and return what each layer kept.

        Args:
            run: the pass; it is left once the last layer has kept its part.
            keep: keys and values, the states that they are projected from, or queries.
            whole: let the pass run to its end, though nothing reads the rest.
        """
        self.keep, self.kept, self.whole = keep, [], whole
        try:
            run()
        except _AllKept:
            pass
        finally:
            kept, self.keep, self.kept = self.kept, None, []
        return kept

    def attend(
        self,
        run: Callable[[], T],
        supports: SupportBank,
        bias: Mapping[int, Tensor] | None = None,
    ) -> T:
        """Run a query pass over its own and its supports' keys and values.

        Args:
            run: the pass.
            supports: layers × queries × supports; every query of a batch has as many supports.
            bias: added to the attention logits of layers with that many tokens, by token count:
                queries × 1 × 1 × (1 + supports)·tokens, own keys first.
        """
        self.supports, self.bias = supports, bias or {}
        try:
            return run()
        finally:
            self.supports, self.bias = None, {}

    def replaced(self, run: Callable[[], T], attention: Replacement) -> T:
        """Run a pass in which `attention` stands for the layers' own."""
        self.replacement = attention
        try:
            return run()
        finally:
            self.replacement = None

    def replayed(self) -> AbstractContextManager[None]:
        """A context in which blocks of the pass that runs now can be computed again.

        Gradient checkpointing does so in the backward pass, when the pass itself is long over.
        What is kept a second time is dropped.
        """
        keep, supports, bias = self.keep, self.supports, self.bias

        @contextmanager
        def replay() -> Iterator[None]:
            self.keep, self.kept, self.whole = keep, [], True
            self.supports, self.bias = supports, bias
            try:
                yield
            finally:
                self.keep, self.kept, self.supports, self.bias = None, [], None, {}

        return replay()


class BankAttention:
    """A diffusers attention processor for one self-attention."""

    def __init__(self, bank: AttentionBank, layer: int) -> None:
        self.bank = bank
        self.layer = layer

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Attend; hidden states are batch × tokens × width."""
        batch, tokens, width = hidden_states.shape
        if self.bank.keep == "hidden":
            self._keep(hidden_states)
        elif self.bank.keep == "query":
            self._keep(attn.to_q(hidden_states))
        if self.bank.replacement is not None:
            replaced = self.bank.replacement(self.layer, attn, hidden_states)
            if replaced is not None:
                return _projected(attn, replaced)
        key, value = attn.to_k(hidden_states), attn.to_v(hidden_states)
        if self.bank.keep == "kv":
            self._keep(key, value)
        if self.bank.supports is not None:
            key, value = _extended(attn, key, value, self.bank.supports[self.layer])

        def heads(states: Tensor) -> Tensor:
            return states.view(batch, -1, attn.heads, width // attn.heads).transpose(1, 2)

        out = F.scaled_dot_product_attention(
            heads(attn.to_q(hidden_states)),
            heads(key),
            heads(value),
            attn_mask=self.bank.bias[tokens] if self.bank.bias else None,
        )
        return _projected(attn, out.transpose(1, 2).reshape(batch, tokens, width))

    def _keep(self, *states: Tensor) -> None:
        self.bank.kept.append(states)
        if len(self.bank.kept) == self.bank.layers and not self.bank.whole:
            raise _AllKept


def _projected(attn: Any, out: Tensor) -> Tensor:
    return attn.to_out[1](attn.to_out[0](out)) / attn.rescale_output_factor  # type: ignore[no-any-return]


def _extended(
    attn: Any, key: Tensor, value: Tensor, supports: Sequence[Sequence[Kept]]
) -> tuple[Tensor, Tensor]:
    """Own keys and values followed by those of each query's supports."""
    if not supports[0]:
        return key, value
    if len(supports[0][0]) == 1:
        hidden = torch.stack([torch.cat([kept[0].to(key) for kept in row]) for row in supports])
        return torch.cat([key, attn.to_k(hidden)], 1), torch.cat([value, attn.to_v(hidden)], 1)
    return _joined(key, supports, 0), _joined(value, supports, 1)


def _joined(own: Tensor, supports: Sequence[Sequence[Kept]], part: int) -> Tensor:
    """One copy of everything, queries × (own and supports' tokens) × width."""
    pieces = [
        piece
        for mine, row in zip(own, supports, strict=True)
        for piece in (mine, *(kept[part].to(own) for kept in row))
    ]
    return torch.cat(pieces).view(own.shape[0], -1, own.shape[2])
