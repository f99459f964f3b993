"""Committed results as an older state of the repository has them."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import BenchError, RunKey
from leaderboards.committed.files import (
    CommittedRecord,
    parse_committed_record,
    read_committed_record,
)

CHANGES = "CHANGES.md"


def unexplained(boards: Path, ref: str) -> Iterator[tuple[RunKey, str]]:
    """Results that `ref` has and that are gone, or counted or described otherwise, without a word.

    A word is a line in `CHANGES.md` that `ref` does not have and that names the result:
    `<dataset>/<protocol>/<model>`, with or without its last part.

    Args:
        boards: the folder that holds `results/` and `CHANGES.md`.
        ref: a commit, branch or tag.

    Yields:
        The run, and what became of it.

    Raises:
        BenchError: if `boards` is in no repository, or `ref` is not in it.
    """
    changes = boards / CHANGES
    now = changes.read_text(encoding="utf-8").splitlines() if changes.is_file() else []
    then = set(_show(boards, ref, CHANGES).decode().splitlines())
    new = [line for line in now if line not in then]
    for name in _files(boards, ref):
        key = RunKey.parse(name.removesuffix(".json"))
        if key is None or any(_names(line, key) for line in new):
            continue
        path = boards / "results" / name
        if not path.is_file():
            yield key, f"is in {ref} and is gone now"
            continue
        old = _show(boards, ref, f"results/{name}")
        if old == path.read_bytes():
            continue
        before = parse_committed_record(old, f"{ref}:{path}")
        for what, was, now_is in _differences(before, read_committed_record(path)):
            yield key, f"had {what} {was} in {ref} and has {now_is} now"
            break


def _differences(before: CommittedRecord, after: CommittedRecord) -> Iterator[tuple[str, str, str]]:
    """What was counted, and what is said of the model: its default where a field is new."""
    if before.counts_digest != after.counts_digest:
        yield "mIoU", f"{100 * before.run.miou:.2f}", f"{100 * after.run.miou:.2f}"
    for (name, old), (_, new) in zip(before.run.setup.model, after.run.setup.model, strict=True):
        if old != new:
            yield name, repr(old), repr(new)


def committed_at(boards: Path, ref: str) -> Iterator[tuple[RunKey, bytes]]:
    """The JSON of every committed result of `ref`."""
    for name in _files(boards, ref):
        key = RunKey.parse(name.removesuffix(".json"))
        if key is not None:
            yield key, _show(boards, ref, f"results/{name}")


def _names(line: str, key: RunKey) -> bool:
    words = line.replace("`", " ").replace(":", " ").replace(",", " ").split()
    return str(key) in words or f"{key.dataset}/{key.protocol}/{key.model}" in words


def _files(boards: Path, ref: str) -> list[str]:
    """The JSON files of `ref`, relative to `results/`."""
    listed = _git(boards, ["ls-tree", "-r", "-z", "--name-only", ref, "--", "results/"], ref)
    names = [name.removeprefix("results/") for name in listed.decode().split("\0")]
    return [name for name in names if name.endswith(".json")]


def _show(boards: Path, ref: str, name: str) -> bytes:
    if not _git(boards, ["ls-tree", "--name-only", ref, "--", name], ref):
        return b""
    return _git(boards, ["show", f"{ref}:./{name}"], ref)


def _git(boards: Path, arguments: Sequence[str], ref: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(boards), *arguments],  # noqa: S607
            capture_output=True,
            timeout=60,
            check=True,
            # Git would obey GIT_DIR and its kin rather than the folder that it is given.
            env={name: value for name, value in os.environ.items() if name[:4] != "GIT_"},
        )
    except FileNotFoundError:
        raise BenchError(f"git is needed to compare with {ref}; install it") from None
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", b"") or b""
        reason = said.decode(errors="replace").strip() or str(error)
        raise BenchError(f"cannot compare {boards} with {ref}: {reason}") from None
    return done.stdout
