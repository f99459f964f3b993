"""PerSAM and PerSAM-F (Zhang et al., ICLR 2024): SAM prompted by the embedding of an example."""

from models.methods.persam.plain import PerSAM
from models.methods.persam.trained import PerSAMF

__all__ = ["PerSAM", "PerSAMF"]
