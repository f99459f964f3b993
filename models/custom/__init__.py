"""A user's own segmenter: loaded by its spec, and named by all the code that it is made of."""

from models.custom.code import code_digest
from models.custom.load import leave_folders, load_custom, module_name

__all__ = ["code_digest", "leave_folders", "load_custom", "module_name"]
