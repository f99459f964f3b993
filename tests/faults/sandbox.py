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
        try:
            _unshare_mounts()
            _mount("--make-rprivate", "/")
            _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
        except (OSError, subprocess.CalledProcessError):
            return _Refused
        return function()

    if not hasattr(ctypes.CDLL(None), "unshare"):
        _skip("this system has no namespaces for mounts")
    found = forked(mounted)
    if found is _Refused:
        _skip("this user may not mount a small disk")
    return found


def remount(folder: Path, options: str) -> None:
    """Change the disk of `on_own_disk`, such as its size, or to read-only."""
    # With its source: else mount(8) repeats options that a user namespace does not take.
    _mount("-o", f"remount,{options}", "tmpfs", str(folder))


def _unshare_mounts() -> None:
    """Mounts of this process are its own; who is not root is root in a user namespace for it."""
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None).unshare(_NEW_MOUNTS | (_NEW_USER if user else 0)) != 0:
        raise PermissionError
    if user:
        own = {"setgroups": "deny", "uid_map": f"0 {user} 1", "gid_map": f"0 {group} 1"}
        for name, text in own.items():
            Path("/proc/self", name).write_text(text)


def _mount(*args: str) -> None:
    subprocess.run(["mount", *args], check=True, capture_output=True)


def _skip(reason: str) -> None:
    """Where the environment says that disks can be mounted, as in CI, nothing is skipped."""
    if os.environ.get("TEST_DISKS") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


class _Refused:
    """Stands for a mount that was not allowed."""
