"""PASCAL-5i: PASCAL VOC 2012 with SBD's extra annotations, in four folds of five classes."""

from datasets_prep.datasets.pascal.builder import Pascal, PascalOptions

__all__ = ["Pascal", "PascalOptions"]
