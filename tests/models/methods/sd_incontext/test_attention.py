"""The swapped attention in half precision."""

from types import SimpleNamespace

import torch

from models.methods.sd_incontext.attention import swapped


def test_products_beyond_halfs_range_are_compared() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn((1, 9, 128), generator=generator) for _ in range(3))
    query, key = 40 + query, 40 + key  # products of some 100,000 over 64 channels

    def mixed(dtype: torch.dtype) -> torch.Tensor:
        states = [tensor.half().to(dtype) for tensor in (query, key, value)]
        attention = swapped([states[0]], [states[1]], [states[2]], temperature=1, contrast=1.67)
        found = attention(0, SimpleNamespace(heads=2), states[0])
        assert found is not None
        return found.float()

    assert float((mixed(torch.float16) - mixed(torch.float32)).abs().max()) < 5e-3
