"""How fast a segmenter runs an episode list, beside the way that encodes everything afresh."""

from benchmarks.speed.measure import SpeedReport, measure
from benchmarks.speed.naive import NaivePath, naive_path

__all__ = ["NaivePath", "SpeedReport", "measure", "naive_path"]
