"""Masks in little memory: their bits, compressed."""

import math
import zlib

import numpy as np
import torch
from torch import Tensor


def packed(masks: Tensor) -> bytes:
    """Bool masks of any shape, row after row: of 1024×1024 pixels some kilobytes each."""
    return zlib.compress(np.packbits(masks.cpu().numpy()).tobytes(), level=1)


def unpacked(bits: bytes, shape: tuple[int, ...]) -> Tensor:
    """The masks of that shape that `packed` was given, on the CPU."""
    read = np.frombuffer(zlib.decompress(bits), dtype=np.uint8)
    return torch.from_numpy(np.unpackbits(read, count=math.prod(shape)).view(bool)).view(shape)
