"""GF-SAM (Zhang et al., NeurIPS 2024): a graph of points and their masks, without parameters."""

from models.methods.gf_sam.segmenter import GFSAM

__all__ = ["GFSAM"]
