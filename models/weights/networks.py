"""Networks of the transformers library with the weights that a user named."""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.errors import ModelError
from models.weights.original import Original
from models.weights.source import INDEX, locate, read_tensors, weights_digest

# Classes that the oldest transformers we allow does not have. Sam2VideoModel came earlier, but
# its image features are what `models.methods.sam2_memory` reads only since 5.
_SINCE = {"DINOv3ViTModel": "4.56", "Sam2VideoModel": "5.0"}


def architecture(name: str, *, of: str) -> Any:
    """The class `name` of transformers.

    Args:
        name: the class.
        of: the model that needs it, for the message.

    Raises:
        ModelError: if the installed transformers is too old for it.
    """
    import transformers

    cls = getattr(transformers, name, None)
    installed = transformers.__version__
    since = _SINCE.get(name)
    if cls is None or (since is not None and _number(installed) < _number(since)):
        least = f"transformers {since} or later" if since else f"a transformers with {name}"
        wanted = f"transformers>={since}" if since else "transformers"
        raise ModelError(
            f"{of} needs {least}, and {installed} is installed; "
            f"upgrade with: pip install --upgrade '{wanted}'"
        )
    return cls


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def read_network(
    cls: Any,
    spec: str,
    *,
    name: str,
    hint: str,
    config: Any = None,
    original: Original | None = None,
) -> tuple[nn.Module, str, str]:
    """A network with published weights; no code of a repository is run.

    Args:
        cls: from `architecture`.
        spec: a folder with `config.json` and weights, a hub id `owner/name[@revision]`, or, where
            `config` is given, a file of weights alone.
        name: what the network is called in messages.
        hint: where to get the weights; ends the message when there are none.
        config: the configuration of the network that a lone file must fit; None where only its
            own config.json can say it.
        original: how the authors' own files of the network are read; None where none are known.

    Returns:
        The network, where its weights came from and the sha256 of their file.

    Raises:
        ModelError: for weights that are missing, damaged, of another network or do not fit.
    """
    located = locate(spec, hint=hint)
    chosen: dict[str, Any]
    if not Path(spec).expanduser().is_file():
        path = locate(spec, hint=hint, filenames=("config.json",)).path
        _check_kind(path, cls, located.source, name, hint)
        safe = located.path.name.removesuffix(INDEX).endswith(".safetensors")
        chosen = {"pretrained_model_name_or_path": path.parent, "use_safetensors": safe}
    else:
        config, tensors = _lone_file(located.path, spec, name, hint, config, original)
        chosen = {"pretrained_model_name_or_path": None, "config": config, "state_dict": tensors}
    with _quiet():
        try:
            network, info = cls.from_pretrained(
                **chosen,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
            )
        except Exception as error:  # the config is anyone's, and a wrong one raises anything
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ModelError(f"cannot read {located.source} for {name}: {reason}") from error
    wrong = sorted(info["missing_keys"]) + sorted(key for key, *_ in info["mismatched_keys"])
    if wrong:
        raise ModelError(
            f"{located.source} does not fit {name}: {len(wrong)} tensors are missing or of "
            f"another shape ({', '.join(wrong[:3])}); {hint}"
        )
    further = _of_further_layers(info["unexpected_keys"], network)
    if further:
        raise ModelError(
            f"{located.source} does not fit {name}: {len(further)} tensors are of layers that its "
            f"configuration does not have ({', '.join(further[:3])}); {hint}"
        )
    return network, located.source, weights_digest(located.path)


def _of_further_layers(unexpected: Iterable[str], network: Any) -> list[str]:
    """Of unexpected names those that are the network's but for a number; those of heads are not."""

    def unnumbered(name: str) -> str:
        return re.sub(r"\d+", "#", name.removeprefix(f"{network.base_model_prefix}."))

    known = {unnumbered(name) for name in network.state_dict()}
    return sorted(name for name in unexpected if unnumbered(name) in known)


def _lone_file(
    path: Path, spec: str, name: str, hint: str, config: Any, original: Original | None
) -> tuple[Any, dict[str, Tensor]]:
    """The configuration and the tensors of a file of weights alone."""
    tensors = read_tensors(path)
    if original is not None and original.marker in tensors:
        try:
            own, renamed = original.read(tensors, path.name)
        except (KeyError, ValueError, IndexError) as error:
            raise ModelError(
                f"{spec} lacks what {original.files} have ({error}), so that it is not known how "
                f"{name} is built; {hint}"
            ) from None
        return config or own, renamed
    if config is None:
        known = f"no file of the authors of {name} ({original.files})" if original else "one file"
        raise ModelError(
            f"{spec} is {known}, and for another the config.json beside it is needed too; {hint}"
        )
    return config, tensors


def _check_kind(config: Path, cls: Any, source: str, name: str, hint: str) -> None:
    """Refuse weights of another architecture, some of whose tensors may bear the same names."""
    try:
        kind = str(dict(json.loads(config.read_bytes())).get("model_type"))
    except (ValueError, TypeError, RecursionError):
        raise ModelError(f"{config} does not describe a network; {hint}") from None
    # The hub calls one set of weights sam2 or sam2_video.
    if kind.removesuffix("_video") != cls.config_class.model_type.removesuffix("_video"):
        raise ModelError(f"{source} are weights of {kind}, not of {name}; {hint}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and loading reports: what matters becomes an error."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
