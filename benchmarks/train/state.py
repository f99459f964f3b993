"""What a training needs to go on where it was, in one file, written whole or not at all."""

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.errors import BenchError
from datasets_prep.runtime.whole import whole_file, write_whole

SETTINGS, STATE = "train.json", "state.pt"
CHECKPOINTS = ("last", "best")
_FIRST = ".first"  # there while the first state is still to be written


def open_run(
    out: Path,
    settings: Mapping[str, object],
    resume: bool,
    free: Collection[str] = (),
) -> dict[str, Any] | None:
    """Begin a training in `out`, or go on with the one that is there.

    Args:
        out: the training's folder.
        settings: all that the weights depend on, as JSON holds it.
        resume: whether to go on; a folder with a training is refused otherwise.
        free: names of settings that may be others than those it was begun with.

    Returns:
        The state to go on from, or None at the start.

    Raises:
        BenchError: if a training is there and not to be resumed, was made with other settings, or
            lacks its state.
    """
    path = out / SETTINGS
    if not path.is_file():
        write_whole(path, _text(settings))
        return None
    if not resume:
        raise BenchError(f"{out} holds a training already; go on with --resume, or choose another")
    before, now = json.loads(path.read_text(encoding="utf-8")), json.loads(_text(settings))
    for key in sorted({*before, *now} - set(free)):
        if key not in before:
            raise BenchError(
                f"cannot go on with {out}: its {SETTINGS}, of an older version, does not say "
                f"{key}; choose another --out"
            )
        if before.get(key) != now.get(key):
            raise BenchError(
                f"cannot go on with {out}: it was begun with {key}={before.get(key)}, this is "
                f"{now.get(key)}; give the same settings or another --out"
            )
    for name in CHECKPOINTS:
        if not (out / name).exists() and _old(out / name).exists():
            _old(out / name).rename(out / name)
    state = out / STATE
    if not state.is_file():
        if (out / CHECKPOINTS[0]).exists() and not (out / _FIRST).exists():
            raise BenchError(
                f"cannot go on with {out}: {state} is gone; delete the folder to train anew, or "
                "choose another --out"
            )
        return None
    return read_state(state)


def before_first_state(out: Path) -> None:
    """Mark a checkpoint that has no state yet, so that it is not taken for one that lost it."""
    if not (out / STATE).exists():
        (out / _FIRST).touch()


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
    """Replace the state in `out`.

    Raises:
        OSError: naming the file, such as for a full disk.
    """
    try:
        # Given a path, torch would call a full disk a RuntimeError.
        with whole_file(out / STATE) as partial, partial.open("wb") as file:
            torch.save(dict(state), file)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(out / STATE)) from None
    (out / _FIRST).unlink(missing_ok=True)


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
