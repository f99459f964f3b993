"""FSS-SAM3: support and query on one canvas for SAM 3, no training (arXiv 2604.05433)."""

from models.methods.fss_sam3.segmenter import FSSSAM3, FSSSAM3Text

__all__ = ["FSSSAM3", "FSSSAM3Text"]
