"""ABCDFSS: `heads` are fitted to an episode, `compare` makes a mask of what they give."""

from models.methods.abcdfss.segmenter import ABCDFSS

__all__ = ["ABCDFSS"]
