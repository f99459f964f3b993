"""Pixels, support masks and ground truth on their grids, decoded ahead by threads.

Decoding and resizing release the interpreter's lock, so threads are enough and share one
byte-bounded store; the same image is decoded once for all episodes, shots and models of a run.
"""

from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from cachetools import LRUCache
from torch import Tensor

from benchmarks.evaluation.prompts import prompted
from datasets_prep.prepared.dataset import PreparedDataset
from models.geometry import Geometry, Size, nearest

_PIXEL_BYTES = 2**30
_MASK_BYTES = 2**28


def _nbytes(tensor: Tensor) -> int:
    return tensor.nbytes


class Loader:
    """Loads from one prepared dataset; safe to use from one thread, works ahead in others.

    Args:
        dataset: the dataset.
        threads: number of threads that decode ahead.
    """

    def __init__(self, dataset: PreparedDataset, threads: int) -> None:
        self.dataset = dataset
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="loader")
        self._pixels: LRUCache[Hashable, Tensor] = LRUCache(_PIXEL_BYTES, _nbytes)
        self._masks: LRUCache[Hashable, Tensor] = LRUCache(_MASK_BYTES, _nbytes)
        self._pending: dict[Hashable, Future[Tensor]] = {}

    def close(self) -> None:
        """Stop the threads; what they have not begun is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def prefetch_images(self, image_ids: Iterable[str], geometry: Geometry) -> None:
        """Begin to load images that will be asked for soon."""
        for image_id in image_ids:
            key = (image_id, geometry)
            if key not in self._pixels and key not in self._pending:
                self._pending[key] = self._pool.submit(self._decode, image_id, geometry)

    def image(self, image_id: str, geometry: Geometry) -> Tensor:
        """An image on the model's grid: uint8, 3×H×W."""
        key = (image_id, geometry)
        pending = self._pending.pop(key, None)
        if pending is not None:
            self._pixels[key] = pending.result()
        return self._kept(self._pixels, key, lambda: self._decode(image_id, geometry))

    def support_mask(
        self, image_id: str, class_index: int, geometry: Geometry, prompt: str = "mask"
    ) -> Tensor:
        """A support mask on the model's grid: uint8, H×W, 1 foreground; ignored pixels are 0.

        Args:
            image_id: the image.
            class_index: whose mask.
            geometry: of the model.
            prompt: what of the mask is given, as `benchmarks.evaluation.prompts` draws it.
        """
        return self._kept(
            self._masks,
            (image_id, class_index, geometry, prompt),
            lambda: geometry.mask(
                prompted(self.dataset.mask(image_id, class_index) == 1, prompt).view("uint8")
            ),
        )

    def truth(self, image_id: str, class_index: int, target: Size) -> Tensor:
        """A ground truth on the evaluation grid: uint8, H×W, 1 foreground, 255 ignore."""
        return self._kept(
            self._masks,
            (image_id, class_index, target),
            lambda: nearest(torch.from_numpy(self.dataset.mask(image_id, class_index)), target),
        )

    def _decode(self, image_id: str, geometry: Geometry) -> Tensor:
        return geometry.image(self.dataset.image(image_id))

    @staticmethod
    def _kept(
        store: LRUCache[Hashable, Tensor], key: Hashable, load: Callable[[], Tensor]
    ) -> Tensor:
        try:
            return store[key]
        except KeyError:
            tensor = load()
            if tensor.nbytes <= store.maxsize:
                store[key] = tensor
            return tensor
