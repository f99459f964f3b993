"""Matcher (Liu et al., ICLR 2024): DINOv2 matches, SAM segments, scores choose among the masks."""

from models.matcher.segmenter import Matcher
from models.matcher.settings import PRESETS, Settings

__all__ = ["PRESETS", "Matcher", "Settings"]
