"""SANSA: SAM 2 with adapters in its encoder (Cuttano et al., NeurIPS 2025)."""

from models.methods.sansa.segmenter import SANSA

__all__ = ["SANSA"]
