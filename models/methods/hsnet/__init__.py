"""HSNet: hypercorrelation squeeze for few-shot segmentation (Min et al., ICCV 2021)."""

from models.methods.hsnet.segmenter import HSNet

__all__ = ["HSNet"]
