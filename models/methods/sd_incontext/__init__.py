"""Stable Diffusion as an in-context segmenter, without training (Oorloff et al., ICCV 2025).

Source: arXiv 2508.09949, which has no public code. `segmenter.py` says what the paper fixes and
what is chosen here.
"""

from models.methods.sd_incontext.segmenter import SDInContext

__all__ = ["SDInContext"]
