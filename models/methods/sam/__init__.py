"""Segment Anything (Kirillov et al., ICCV 2023): one image encoder for every model that prompts it.

Models with the same weights share the image embeddings: `Sam.encode_framed` under `Sam.key`, of
images in their own size (`Native(1)`).
"""

from models.methods.sam.decoder import SINGLE_MASK, THREE_MASKS, Guidance
from models.methods.sam.network import Sam, load_sam

__all__ = ["SINGLE_MASK", "THREE_MASKS", "Guidance", "Sam", "load_sam"]
