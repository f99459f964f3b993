"""COCO-20i: the images and objects of COCO 2014, in four folds of twenty classes."""

from datasets_prep.datasets.coco.builder import Coco, CocoOptions

__all__ = ["Coco", "CocoOptions"]
