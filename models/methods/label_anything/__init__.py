"""Label Anything: prompts of any number of classes become their embeddings (De Marinis et al.)."""

from models.methods.label_anything.segmenter import LabelAnything

__all__ = ["LabelAnything"]
