"""What a training needs to go on where it was, in one file, written whole or not at all."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.errors import BenchError
from datasets_prep.runtime.whole import whole_file, write_whole

SETTINGS, STATE = "train.json", "state.pt"
CHECKPOINTS = ("last", "best")


def open_run(out: Path, settings: Mapping[str, object], resume: bool) -> dict[str, Any] | None:
    """Begin a training in `out`, or go on with the one that is there.

    Args:
        out: the training's folder.
        settings: all that the weights depend on, as JSON holds it.
        resume: whether to go on; a folder with a training is refused otherwise.

    Returns:
        The state to go on from, or None at the start.

    Raises:
        BenchError: if a training is there and not to be resumed, or was made with other settings.
    """
    path = out / SETTINGS
    if not path.is_file():
        write_whole(path, _text(settings))
        return None
    if not resume:
        raise BenchError(f"{out} holds a training already; go on with --resume, or choose another")
    before, now = json.loads(path.read_text(encoding="utf-8")), json.loads(_text(settings))
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            raise BenchError(
                f"cannot go on with {out}: it was begun with {key}={before.get(key)}, this is "
                f"{now.get(key)}; give the same settings or another --out"
            )
    for name in CHECKPOINTS:
        if not (out / name).exists() and _old(out / name).exists():
            _old(out / name).rename(out / name)
    state = out / STATE
    return read_state(state) if state.is_file() else None


def read_state(path: Path) -> dict[str, Any]:
    """The state in `path`, on the CPU; nothing in it can run code.

    Raises:
        BenchError: if it is truncated or not a state.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises anything from KeyError to UnpicklingError
        raise BenchError(
            f"cannot read {path} ({error!r}); delete the folder and train anew"
        ) from None
    return state


def write_state(out: Path, state: Mapping[str, Any]) -> None:
    """Replace the state in `out`."""
    with whole_file(out / STATE) as partial:
        torch.save(dict(state), partial)


def replace_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Write a folder beside `target` and put it in its place.

    A crash between the two renames leaves the former one as `.target.old`, which `open_run` puts
    back.
    """
    partial, old = target.with_name(f".{target.name}.partial"), _old(target)
    shutil.rmtree(partial, ignore_errors=True)
    write(partial)
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _text(settings: Mapping[str, object]) -> str:
    return json.dumps(settings, indent=2, sort_keys=True) + "\n"
