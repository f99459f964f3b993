"""CLIPSeg with visual prompts (Lüddecke and Ecker, CVPR 2022)."""

from models.methods.clipseg.segmenter import CLIPSeg

__all__ = ["CLIPSeg"]
