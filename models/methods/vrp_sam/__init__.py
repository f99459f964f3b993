"""VRP-SAM: SAM prompted by an encoder of a masked reference (Sun et al., CVPR 2024)."""

from models.methods.vrp_sam.segmenter import VRPSAM

__all__ = ["VRPSAM"]
