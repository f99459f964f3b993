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


class Stores:
    """What one loader keeps in memory, or several together: 1 GiB of pixels, 256 MiB of masks."""

    def __init__(self) -> None:
        self.pixels: LRUCache[Hashable, Tensor] = LRUCache(_PIXEL_BYTES, _nbytes)
        self.masks: LRUCache[Hashable, Tensor] = LRUCache(_MASK_BYTES, _nbytes)


class Loader:
    """Loads from one prepared dataset; safe to use from one thread, works ahead in others.

    Args:
        dataset: the dataset.
        threads: number of threads that decode ahead.
        stores: shared with other loaders of the thread; its own if None.
    """

    def __init__(
        self, dataset: PreparedDataset, threads: int, stores: Stores | None = None
    ) -> None:
        self.dataset = dataset
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="loader")
        self._stores = stores or Stores()
        self._pending: dict[Hashable, Future[Tensor]] = {}

    def close(self) -> None:
        """Stop the threads; what they have not begun is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def prefetch_images(self, image_ids: Iterable[str], geometry: Geometry) -> None:
        """Begin to load images that will be asked for soon."""
        for image_id in image_ids:
            key = (self.dataset.digest, image_id, geometry)
            if key not in self._stores.pixels and key not in self._pending:
                self._pending[key] = self._pool.submit(self._decode, image_id, geometry)

    def look_elsewhere(self) -> None:
        """Other images come next: keep those that were loaded ahead, drop what is not begun."""
        for key, pending in list(self._pending.items()):
            if not (pending.cancel() or pending.done()):
                continue
            del self._pending[key]
            if not pending.cancelled() and pending.exception() is None:
                _put(self._stores.pixels, key, pending.result())

    def image(self, image_id: str, geometry: Geometry) -> Tensor:
        """An image on the model's grid: uint8, 3×H×W."""
        key = (self.dataset.digest, image_id, geometry)
        pending = self._pending.pop(key, None)
        decode = pending.result if pending else lambda: self._decode(image_id, geometry)
        return _kept(self._stores.pixels, key, decode)

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
        return _kept(
            self._stores.masks,
            (self.dataset.digest, image_id, class_index, geometry, prompt),
            lambda: geometry.mask(
                prompted(self.dataset.mask(image_id, class_index) == 1, prompt).view("uint8")
            ),
        )

    def truth(self, image_id: str, class_index: int, target: Size) -> Tensor:
        """A ground truth on the evaluation grid: uint8, H×W, 1 foreground, 255 ignore."""
        return _kept(
            self._stores.masks,
            (self.dataset.digest, image_id, class_index, target),
            lambda: nearest(torch.from_numpy(self.dataset.mask(image_id, class_index)), target),
        )

    def _decode(self, image_id: str, geometry: Geometry) -> Tensor:
        return geometry.image(self.dataset.image(image_id))


def _kept(store: LRUCache[Hashable, Tensor], key: Hashable, load: Callable[[], Tensor]) -> Tensor:
    try:
        return store[key]
    except KeyError:
        tensor = load()
        _put(store, key, tensor)
        return tensor


def _put(store: LRUCache[Hashable, Tensor], key: Hashable, tensor: Tensor) -> None:
    if tensor.nbytes <= store.maxsize:
        store[key] = tensor
