"""Children that are forked, limited, mounted and killed, so that this process is not."""

import ctypes
import multiprocessing
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
_fork = multiprocessing.get_context("fork")


def forked(function: Callable[[], Any]) -> Any:
    """What `function` returns in a child; of what it raises, class and text; None if it dies."""
    ours, theirs = _fork.Pipe(duplex=False)

    def answer() -> None:
        try:
            theirs.send(function())
        except BaseException as error:
            theirs.send(f"{type(error).__name__}: {error}")
        os._exit(0)

    child = _fork.Process(target=answer)
    child.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return None
    finally:
        child.join()


def on_own_disk(folder: Path, size: str, function: Callable[[], Any]) -> Any:
    """As `forked`, with a file system of `size` at `folder` that only the child sees."""
    folder.mkdir()

    def mounted() -> Any:
        flags = _NEW_MOUNTS if os.geteuid() == 0 else _NEW_MOUNTS | _NEW_USER
        if ctypes.CDLL(None).unshare(flags) != 0:
            return _Refused
        try:
            _mount("--make-rprivate", "/")
            _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
        except subprocess.CalledProcessError:
            return _Refused
        return function()

    if not hasattr(ctypes.CDLL(None), "unshare"):
        pytest.skip("this system has no namespaces for mounts")
    found = forked(mounted)
    if found is _Refused:
        pytest.skip("this user may not mount a small disk")
    return found


def remount(folder: Path, options: str) -> None:
    """Change the disk of `on_own_disk`, such as its size, or to read-only."""
    _mount("-o", f"remount,{options}", str(folder))


def _mount(*args: str) -> None:
    subprocess.run(["mount", *args], check=True, capture_output=True)


class _Refused:
    """Stands for a mount that was not allowed."""
