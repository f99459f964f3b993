"""SegGPT (Wang et al., ICCV 2023): paint the query's mask beside a painted example."""

from models.methods.seggpt.segmenter import SegGPT

__all__ = ["SegGPT"]
