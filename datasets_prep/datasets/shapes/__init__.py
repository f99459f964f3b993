"""The embedded dataset: generated scenes of twenty silhouettes, the same bits on every machine."""

from datasets_prep.datasets.shapes.builder import Shapes

__all__ = ["Shapes"]
