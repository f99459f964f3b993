"""Two networks of diffusers, without the rest of it.

Importing diffusers' U-Net imports all its U-Nets, transformers, loaders and quantizers, and with
them scipy, transformers and torch's compiler: several times the work of importing torch. None of
it is needed to build a network and run it. While networks are built, empty modules stand for those
packages; otherwise what has met them is out of sight, so that anybody's own `import diffusers`
finds the library whole.
"""

import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

logger = logging.getLogger(__name__)

_CLASSES = {
    "UNet2DConditionModel": "diffusers.models.unets.unet_2d_condition",
    "AutoencoderKL": "diffusers.models.autoencoders.autoencoder_kl",
}
# Packages whose modules are imported one by one, and those of which only names are asked.
_OPENED = (
    "diffusers.models.unets",
    "diffusers.models.transformers",
    "diffusers.models.autoencoders",
    "diffusers.quantizers",
)
_EMPTY = (
    "diffusers.loaders",
    "diffusers.loaders.single_file_model",
)
_COMPILER = "torch._dynamo"
# These know nothing of what was left out, and stay.
_KEPT = ("diffusers.utils", "diffusers.configuration_utils", "diffusers.dependency_versions")


def build(name: str, config: Mapping[str, Any]) -> Any:
    """A network of diffusers with fresh weights.

    Args:
        name: `UNet2DConditionModel` or `AutoencoderKL`.
        config: what its config.json says; entries that begin with _ are left out.
    """
    known = {key: value for key, value in config.items() if not key.startswith("_")}
    with _seen(_little()):
        return getattr(importlib.import_module(_CLASSES[name]), name).from_config(known)


@cache
def _little() -> Mapping[str, ModuleType]:
    """The modules that `build` sees in place of diffusers' own; none where those are there."""
    if "diffusers" in sys.modules:
        return {}
    modules = _stand_ins()
    try:
        with _seen(modules):
            for module in _CLASSES.values():
                importlib.import_module(module)
            return {name: sys.modules[name] for name in sys.modules if _hidden(name, modules)}
    except Exception as error:  # another version may ask for more
        logger.debug("importing all of diffusers: %r", error)
        return {}


def _hidden(name: str, stand_ins: Mapping[str, ModuleType]) -> bool:
    """Whether a module is, or may have met, an empty one."""
    return name in stand_ins or (name.startswith("diffusers.") and not name.startswith(_KEPT))


@contextmanager
def _seen(modules: Mapping[str, ModuleType]) -> Iterator[None]:
    """Within, imports find these modules; afterwards, what was there before."""
    # A compiler that has come meanwhile need not be hidden.
    modules = {n: m for n, m in modules.items() if n != _COMPILER or n not in sys.modules}
    if not modules:
        yield
        return
    others = {name: sys.modules.pop(name) for name in list(sys.modules) if _hidden(name, modules)}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if _hidden(name, modules)]:
            del sys.modules[name]
            parent, _, last = name.rpartition(".")
            if parent in ("diffusers", "torch"):
                vars(sys.modules[parent]).pop(last, None)
        sys.modules.update(others)
        for name, module in others.items():
            parent, _, last = name.rpartition(".")
            if parent in ("diffusers", "torch"):
                setattr(sys.modules[parent], last, module)


def _stand_ins() -> dict[str, ModuleType]:
    found = importlib.util.find_spec("diffusers")
    if found is None or not found.submodule_search_locations:
        return {}
    root = Path(found.submodule_search_locations[0])
    modules: dict[str, ModuleType] = {name: _StandIn(name) for name in (*_EMPTY, *_OPENED)}
    for name in _OPENED:
        modules[name].__path__ = [str(root.joinpath(*name.split(".")[1:]))]
    if _COMPILER not in sys.modules:
        modules[_COMPILER] = compiler = _StandIn(_COMPILER)
        vars(compiler)["allow_in_graph"] = _allow_in_graph
    return modules


class _StandIn(ModuleType):
    """A module with a class of any name, which does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _allow_in_graph(thing: Any) -> Any:
    """What diffusers marks its classes with, for a compiler that is not there or is."""
    module = importlib.import_module(_COMPILER)
    return thing if isinstance(module, _StandIn) else module.allow_in_graph(thing)
