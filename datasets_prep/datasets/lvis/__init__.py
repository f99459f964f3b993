"""LVIS-92i: the long tail of LVIS's classes, in ten folds."""

from datasets_prep.datasets.lvis.builder import Lvis, LvisOptions

__all__ = ["Lvis", "LvisOptions"]
