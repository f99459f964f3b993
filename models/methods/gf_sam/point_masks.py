"""SAM's masks of single points, each decoded once an image."""

from collections.abc import MutableMapping

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from models.methods.sam import SINGLE_MASK, Sam
from models.methods.sam.bits import packed, unpacked
from models.methods.sam.frame import Squashed
from models.methods.sam.network import DECODED_TOGETHER

_PROMPTS = 64  # decoded at once
_BUDGET = 2**30  # bytes of masks
_MAPS = 4  # brought to full size at once: more leave a CPU's cache


class PointMasks:
    """SAM's single mask of each point of an image, kept for the episodes that ask again.

    Points lie on the patches, and episodes with the same query ask for many of the same, more so if
    class or shots are the only difference. On a CPU, where a prompt takes 40 ms, a mask is
    therefore kept, packed, for as long as the image's embedding is, and there is room: else the
    masks of the image go that was asked for longest ago. A GPU decodes in less time than packing
    takes, and keeps none.

    A mask is the same to the bit whatever was asked for before: prompts are decoded in calls of one
    size.

    Args:
        sam: decodes.
        budget: most bytes of masks that are kept, outside of the run's cache of features.
    """

    def __init__(self, sam: Sam, budget: int = _BUDGET) -> None:
        self._sam = sam
        self._budget = budget
        self._kept: MutableMapping[Tensor, dict[tuple[int, int], bytes]] = WeakTensorKeyDictionary()

    def of(self, embedding: Tensor, view: Squashed, points: Tensor) -> Tensor:
        """The masks of some points.

        Args:
            embedding: of the image, C×h×w.
            view: how the squashed image lies in what SAM sees.
            points: different ones, (x, y) in pixels of the squashed image, int64 P×2, P at least 1.

        Returns:
            Bool, P×side×side.
        """
        if embedding.is_cuda:
            return self._decoded(embedding, view, points)
        kept = self._kept[embedding] = self._kept.pop(embedding, {})  # now the last in order
        places = [(x, y) for x, y in points.tolist()]
        new = [place for place in places if place not in kept]
        if new:
            # Filled up to a whole call, because another size would round otherwise.
            called = new + new[-1:] * (-len(new) % DECODED_TOGETHER)
            found = self._decoded(embedding, view, torch.tensor(called))
            kept |= {place: packed(mask) for place, mask in zip(new, found, strict=False)}
            while self._bytes > self._budget:
                del self._kept[next(iter(self._kept))]
        return torch.stack([unpacked(kept[place], (view.side, view.side)) for place in places])

    @property
    def _bytes(self) -> int:
        return sum(len(mask) for own in self._kept.values() for mask in own.values())

    def _decoded(self, embedding: Tensor, view: Squashed, points: Tensor) -> Tensor:
        found = []
        for chunk in torch.split(points, _PROMPTS):
            labels = torch.ones(len(chunk), 1, device=chunk.device)
            prompt = self._sam.prompt(view.points(chunk[:, None].float()), labels)
            logits, _ = self._sam.decode(embedding, *prompt, which=SINGLE_MASK)
            found += [view.restored(some) > 0 for some in torch.split(logits[:, 0], _MAPS)]
        return torch.cat(found)
