"""DiffewS: few-shot segmentation with Stable Diffusion (Zhu et al., NeurIPS 2024).

Source: arXiv 2410.02369; behaviour measured on github.com/aim-uofa/DiffewS, commit d12c396.
"""

from models.methods.diffews.design import Design
from models.methods.diffews.segmenter import DiffewS

__all__ = ["Design", "DiffewS"]
