"""The two numbers that PerSAM-F trains on a support: how SAM's three masks are mixed.

Loss and optimiser are those of `persam_f.py`. A thousand steps over every pixel of the support are
most of what a support costs beside SAM, hence the gradient by hand and in place.
"""

import torch
from torch import Tensor

_INSIDE, _OUTSIDE = 0.25, 0.75  # α of the focal loss for foreground and background
_LEAST = 1e-30  # of q, which has a logarithm


def trained_mixture(logits: Tensor, truth: Tensor, steps: int) -> Tensor:
    """Three weights, summing to 1, that make a mixture of masks fit the truth.

    Dice plus focal loss, AdamW with learning rate 0.001 on a cosine and ε 0.0001. The first weight
    follows from the other two, which are trained.

    Args:
        logits: of the three masks, 3×N.
        truth: N in {0, 1}.
        steps: optimisation steps.

    Returns:
        The 3 weights.
    """
    loss, free = Loss(logits, truth), torch.full((2,), 1 / 3, dtype=torch.float64)
    optimizer = torch.optim.AdamW([free], lr=1e-3, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        free.grad = loss.gradient(free)
        optimizer.step()
        schedule.step()
    return torch.cat([1 - free.sum(0, keepdim=True), free]).to(logits)


class Loss:
    """PerSAM-F's loss of a mixture of three masks, by the second's and the third's weight.

    It is 1 - (2·Σpt + 1) / (Σp + Σt + 1), with p the sigmoid of the mixed logits and t the truth,
    plus the mean focal loss with α 0.25 and γ 2 (Lin et al., ICCV 2017).

    Logits are kept with the sign that the truth gives them, foreground first: a pixel's share is
    then a function of q, the sigmoid of what the weights make of it, that differs between
    foreground and background by factors alone.

    Args:
        logits: of the three masks, 3×N.
        truth: N in {0, 1}.
    """

    def __init__(self, logits: Tensor, truth: Tensor) -> None:
        inside = truth > 0
        first, second, third = torch.cat([logits[:, inside], -logits[:, ~inside]], dim=1)
        self._fixed = first
        self._changes = torch.stack([second - first, third - first])
        self._inside = int(inside.sum())
        self._work = torch.empty_like(self._changes), torch.empty_like(first)

    def gradient(self, free: Tensor) -> Tensor:
        """The gradient at two weights, 2; both float64 on the CPU."""
        (right, wrong), slopes = self._work
        torch.add(self._fixed, self._changes[0], alpha=float(free[0]), out=right)
        right.add_(self._changes[1], alpha=float(free[1])).sigmoid_().clamp_min_(_LEAST)
        torch.sub(1, right, out=wrong)
        torch.log(right, out=slopes)

        inside, pixels = self._inside, len(right)
        shared = float(right[:inside].sum())
        total = shared + float(wrong[inside:].sum()) + inside + 1
        dice = (2 * shared + 1) / total
        for part, alpha, factor in (
            (slice(None, inside), _INSIDE / pixels, (dice - 2) / total),
            (slice(inside, None), _OUTSIDE / pixels, -dice / total),
        ):
            # q·(1 - q)·factor of dice, α·(1 - q)²·(2·q·log q - (1 - q)) of focal loss.
            q, rest = right[part], wrong[part]
            slope = slopes[part].mul_(rest).mul_(2 * alpha).add_(factor).mul_(q)
            slope.addcmul_(rest, rest, value=-alpha).mul_(rest)
        return (self._changes @ slopes).double().cpu()
