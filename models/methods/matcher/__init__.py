"""Matcher (Liu et al., ICLR 2024): DINOv2 matches, SAM segments, scores choose among the masks."""

from models.methods.matcher.segmenter import Matcher
from models.methods.matcher.settings import PRESETS, Settings

__all__ = ["PRESETS", "Matcher", "Settings"]
