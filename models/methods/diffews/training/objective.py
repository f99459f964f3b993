"""DiffewS' own stage: the query's mask, painted by a U-Net that sees the supports."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.methods.diffews import injection
from models.methods.diffews.attention import AttentionBank, Kept, SupportBank
from models.methods.diffews.design import Design
from models.methods.diffews.generation import Generation
from models.methods.diffews.parts import Parts
from models.methods.diffews.unet import TwoPass


class DiffewSLoss(nn.Module):
    """The mean squared error between the U-Net's output and the latent of the painted mask.

    Supports are folded batch-major: those of the first query first. Each query sees its own.

    Source: arXiv 2410.02369, sections 3 and 4.
    """

    def __init__(self, parts: Parts, design: Design, *, checkpointing: bool = False) -> None:
        """Take over the U-Net of `parts`, whose self-attentions get a bank.

        Args:
            parts: the U-Net has the inputs that `design` needs, see `convert.add_inputs`.
            design: what to train.
            checkpointing: compute the activations of the U-Net's blocks again in the backward
                pass instead of keeping them.
        """
        super().__init__()
        self.unet, self.tokens = parts.unet, parts.tokens
        self.design, self._generation = design, Generation(design)
        self._prompt = parts.prompt
        self.bank = AttentionBank(parts.unet)
        self._checkpointing = checkpointing
        if checkpointing:
            parts.unet.enable_gradient_checkpointing(_checkpointed(self.bank))

    @property
    def timesteps(self) -> int:
        """How many timesteps a batch's are drawn from."""
        return self._generation.timesteps

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The mean loss of B queries with K supports each.

        Args:
            batch: `queries` and `targets`, latents B×4×h×w; `noise`, as large; `timesteps`, B;
                and of the supports what `support_input` reads.
        """
        predicted, target = self.predicted(batch)
        return nn.functional.mse_loss(predicted.float(), target.float())

    def predicted(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The U-Net's output for the queries, and what it should be."""
        noisy, target, timesteps = self._generation.training_pair(
            batch["queries"], batch["targets"], batch["noise"], batch["timesteps"]
        )
        return self._runner(batch)(noisy, timesteps), target

    @torch.no_grad()
    def generate(self, batch: Mapping[str, Tensor], steps: int, seed: int = 0) -> Tensor:
        """The masks' latents as at test time: B×4×h×w."""
        return self._generation.generate(batch["queries"], self._runner(batch), steps, seed)

    def _runner(self, batch: Mapping[str, Tensor]) -> Callable[[Tensor, Tensor | int], Tensor]:
        passes = TwoPass(self.unet, self.bank, self._prompt.to(batch["queries"]))
        queries = len(batch["queries"])
        if self.tokens is not None:
            tokens = self.tokens(batch["support_images"])
            tokens = tokens.reshape(queries, -1, tokens.shape[2])
            inside = None
            if self.design.mask_injection == "attention_mask":
                inside = self.tokens.inside(batch["support_masks"]).reshape(queries, -1)
            return lambda latents, step: passes.tokens(latents, tokens, inside, step)
        kept = passes.support(support_input(self.design, batch), whole=self._checkpointing)
        supports = _folded(kept, queries)
        bias = None
        if self.design.mask_injection == "attention_mask":
            latent = batch["queries"].shape[2:]
            grids = injection.token_grids((latent[0], latent[1]), len(self.unet.down_blocks))
            inside_tokens = injection.token_masks(batch["support_masks"], grids)
            shots = len(inside_tokens) // queries
            rows = [inside_tokens[i * shots : (i + 1) * shots] for i in range(queries)]
            bias = injection.outside_bias(rows, batch["queries"].dtype)
        return lambda latents, step: passes.query(latents, supports, bias, step)


def support_input(design: Design, batch: Mapping[str, Tensor]) -> Tensor:
    """What the support pass reads of B·K supports.

    Args:
        design: its mask injection.
        batch: `supports`, latents of the images (`composed` with their masks where the injection
            does so), B·K×4×h×w; `support_mask_latents`, the same of the masks, for
            concatenation; `support_masks`, B·K×H×W, for `multiplication_latent`.
    """
    if design.concatenates:
        return torch.cat([batch["supports"], batch["support_mask_latents"]], 1)
    if design.mask_injection == "multiplication_latent":
        return injection.masked_latents(batch["supports"], batch["support_masks"])
    return batch["supports"]


def _folded(kept: list[Kept], queries: int) -> SupportBank:
    """What each layer kept of B·K supports, as layers × queries × supports."""
    bank = []
    for states in kept:
        shots = len(states[0]) // queries
        rows = [
            [tuple(part[query * shots + shot] for part in states) for shot in range(shots)]
            for query in range(queries)
        ]
        bank.append(rows)
    return bank


def _checkpointed(bank: AttentionBank) -> Callable[..., Any]:
    """Gradient checkpointing of a block that puts the bank as it was when it runs again."""

    def run(block: Callable[..., Any], *inputs: Any) -> Any:
        replay = bank.replayed()

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), replay

        return checkpoint(block, *inputs, use_reentrant=False, context_fn=contexts)

    return run
