"""A model that takes a given room on its device for every query of a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.segmenter import Features
from tests.tiny import ColourModel, TinyModelOptions

ROOM = 256 * 2**20  # bytes a query
FITS = 2  # queries that have room, where memory is capped as `memory.py` does


class Hungry(ColourModel):
    """Runs out of memory with more than two queries: really on a GPU, by word on a CPU."""

    batch_size = 8
    device = "cpu"

    @classmethod
    def load(cls, options: TinyModelOptions, *, device: str, dtype: str) -> "Hungry":
        model = cls(options.gain)
        model.device = device
        return model

    def segment(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]]
    ) -> Tensor:
        if torch.device(self.device).type == "cuda":
            torch.empty(ROOM * len(queries), dtype=torch.uint8, device=self.device)
        elif len(queries) > FITS:
            raise torch.OutOfMemoryError("CPU: said, not felt")
        return super().segment(queries, supports)
