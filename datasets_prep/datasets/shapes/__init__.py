"""The embedded dataset: generated scenes of twenty silhouettes, the same bits on every machine."""

from datasets_prep.shapes.builder import Shapes

__all__ = ["Shapes"]
