"""INSID3 (CVPR 2026): in-context segmentation with nothing but a frozen DINOv3."""

from models.methods.insid3.segmenter import INSID3

__all__ = ["INSID3"]
