"""The raw files of a dataset: taken from the user's disk, or downloaded, and always checked."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from datasets_prep.archives.backoff import Backoff
from datasets_prep.archives.checksums import Checksum, recorded, stamp_path, verify
from datasets_prep.archives.extract import extract, is_extracted
from datasets_prep.archives.members import ARCHIVES
from datasets_prep.errors import DatasetError
from datasets_prep.runtime.disk import ensure_space
from datasets_prep.runtime.progress import SILENT, Progress


@dataclass(frozen=True)
class SourceFile:
    """One file that a dataset is made from.

    Attributes:
        name: file name, by which it is also looked for in the user's folders.
        urls: mirrors, best first; empty where a person must log in to get it. Where one is
            https, plain http ones are never used.
        size: bytes.
        sha256: published hash. Without any published hash, the hash of the first file used is
            recorded in `NAME.verified.json` beside the raw files and demanded from then on.
        md5: published hash, checked beside or instead of sha256.
        extracted_size: bytes of its content; 0 where it is not unpacked, None where unknown.
        page: where a person gets it, and finds its terms.
        note: anything a person who must get it by hand should know.
        folder: the folder inside the archive that holds all that is wanted, by which an
            extracted copy is recognised; None where the content has no folder of its own.
        instead: other files of the user's that serve as well; the first that is at hand is taken
            where this one is not.
        optional: done without where it is not at hand, never fetched, and then absent from what
            `obtain` returns.
    """

    name: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    extracted_size: int | None = None
    page: str | None = None
    note: str = ""
    folder: str | None = None
    instead: tuple["SourceFile", ...] = ()
    optional: bool = False

    @property
    def checksum(self) -> Checksum:
        """What is published of its content."""
        return Checksum(self.size, self.sha256, self.md5)

    @property
    def stem(self) -> str:
        """The name without an archive's suffix; the name itself if it is no archive."""
        suffix = next((end for end in ARCHIVES if self.name.endswith(end)), "")
        return self.name.removesuffix(suffix)


@dataclass(frozen=True)
class Planned:
    """What `obtain` would do about one source.

    Attributes:
        name: of the source.
        state: `present` (a file or folder is there), `fetch`, or `missing` (by hand only).
        path: what is there, or None.
        fetch_bytes: still to be downloaded; None where the size is not known.
        disk_bytes: to be taken by the download and its content, as far as they are known.
    """

    name: str
    state: Literal["present", "fetch", "missing"]
    path: Path | None
    fetch_bytes: int | None
    disk_bytes: int


def plan(sources: Sequence[SourceFile], raw_dir: Path, from_dir: Path | None) -> list[Planned]:
    """What `obtain` would do, without network, hashing or writing.

    Raises:
        DatasetError: if `from_dir` is not there.
    """
    planned = []
    for source in _chosen(sources, raw_dir, from_dir):
        path = _locate(source, raw_dir, from_dir)
        unpacked = path is not None and path.is_dir()
        content = 0 if unpacked or _unpacked(source, raw_dir) else source.extracted_size or 0
        if path is not None:
            planned.append(Planned(source.name, "present", path, 0, content))
        else:
            rest = _rest(source, raw_dir)
            state: Literal["fetch", "missing"] = "fetch" if source.urls else "missing"
            planned.append(Planned(source.name, state, None, rest, (rest or 0) + content))
    return planned


def obtain(
    sources: Sequence[SourceFile],
    raw_dir: Path,
    from_dir: Path | None = None,
    progress: Progress = SILENT,
    *,
    command: str = "bench prepare DATASET",
    backoff: Backoff = Backoff(),  # noqa: B008 - frozen
) -> dict[str, Path]:
    """Have every source at hand: the verified file, or a folder that is already extracted.

    Looked for by name in `from_dir` and one level below, then in `raw_dir`, then downloaded.
    An extracted folder of the user's is taken as it is: there is no hash for a folder.

    Args:
        sources: what is needed.
        raw_dir: where downloads, stamps and extracted archives are kept.
        from_dir: a folder of the user's with archives or extracted folders; it is only read.
        progress: hears of downloading and hashing.
        command: what the user ran, for messages.
        backoff: how patiently to download.

    Returns:
        By source name, the path of the file or of its content; `contents` makes them alike.

    Raises:
        DatasetError: a file is wrong, cannot be had (one message lists all such files with
            sizes, hashes, pages and what to do), or the disk is too small.
    """
    # An HTTP client takes long to import, and not even its options need it.
    from datasets_prep.archives.download import UnavailableError, download

    sources = _chosen(sources, raw_dir, from_dir)
    raw_dir.mkdir(parents=True, exist_ok=True)
    located = {source.name: _locate(source, raw_dir, from_dir) for source in sources}
    found = {name: path for name, path in located.items() if path is not None}
    missing = [source for source in sources if source.name not in found]
    wrong = [
        complaint
        for source in sources
        if source.name in found
        and (complaint := _wrong(source, found[source.name], raw_dir, progress))
    ]
    if wrong:
        raise DatasetError("\n".join(wrong))
    # Before any long download: what needs a person, and whether everything fits.
    _refuse([(source, "") for source in missing if not source.urls], command)
    fetched = [(_rest(source, raw_dir) or 0) + (source.extracted_size or 0) for source in missing]
    ensure_space(raw_dir, sum(fetched))
    failed = []
    for source in missing:
        found[source.name] = raw_dir / source.name
        try:
            download(
                source.urls,
                found[source.name],
                _expected(source, raw_dir),
                extracted_size=source.extracted_size or 0,
                progress=progress,
                backoff=backoff,
            )
        except UnavailableError as error:
            failed.append((source, f"{error}{_first_use(source, raw_dir)}"))
    _refuse(failed, command)
    return {source.name: found[source.name] for source in sources}


def contents(source: SourceFile, path: Path, raw_dir: Path, progress: Progress = SILENT) -> Path:
    """The folder with a source's content, unpacked into `raw_dir` unless it is a folder already.

    Args:
        source: one of those given to `obtain`.
        path: what `obtain` returned for it.
        raw_dir: the same as for `obtain`.
        progress: hears of unpacking.

    Returns:
        The folder that `source.folder` names, or all of the content; the file itself if it is no
        archive.

    Raises:
        DatasetError: the archive is damaged, refused, or holds no such folder, or the disk is
            full.
    """
    if path.is_dir() or source.stem == source.name:
        return path
    target = raw_dir / source.stem
    known = recorded(stamp_path(raw_dir, source.name))
    sha256 = known.sha256 if known else None
    if sha256 is None or not is_extracted(target, sha256):
        ensure_space(raw_dir, source.extracted_size or 0)
    inner = extract(path, target, sha256=sha256, progress=progress) / (source.folder or "")
    if not inner.is_dir():
        raise DatasetError(f"{path} holds no folder {source.folder}: is it another file?")
    return inner


def hashes(obtained: Mapping[str, Path], raw_dir: Path) -> dict[str, str | None]:
    """sha256 of each source that `obtain` verified; None for an extracted folder of the user's."""
    result: dict[str, str | None] = {}
    for name, path in obtained.items():
        known = recorded(stamp_path(raw_dir, name))
        ours = path.is_file() or path.is_relative_to(raw_dir)
        result[name] = known.sha256 if known and ours else None
    return result


def _chosen(
    sources: Sequence[SourceFile], raw_dir: Path, from_dir: Path | None
) -> list[SourceFile]:
    """The sources with what stands in the place of each, less optional ones that are not there.

    What the user gives now goes before what is left of an earlier time.

    Raises:
        DatasetError: if `from_dir` is not there.
    """
    if from_dir is not None and not from_dir.is_dir():
        raise DatasetError(f"--from {from_dir}: no such folder")
    chosen = []
    for source in sources:
        these = (source, *source.instead)
        given = (one for one in these if from_dir is not None and _given(one, from_dir))
        kept = (one for one in these if _locate(one, raw_dir, None))
        found = next(given, None) or next(kept, None)
        if found is not None or not source.optional:
            chosen.append(found or source)
    return chosen


def _locate(source: SourceFile, raw_dir: Path, from_dir: Path | None) -> Path | None:
    """The source's file, or the folder of its content, where there is one."""
    given = _given(source, from_dir) if from_dir is not None else None
    if given is not None:
        return given
    archive = raw_dir / source.name
    if archive.is_file():
        return archive
    return _unpacked(source, raw_dir)


def _given(source: SourceFile, from_dir: Path) -> Path | None:
    """What the user's folder, or one just below it, has of a source; files before folders.

    Raises:
        DatasetError: if it has but a link to nothing.
    """
    below = sorted(
        path for path in from_dir.iterdir() if path.is_dir() and os.access(path, os.R_OK | os.X_OK)
    )
    for base in (from_dir, *below):
        if (base / source.name).is_file():
            return base / source.name
    wanted = PurePosixPath(source.folder or source.stem)
    parts = () if source.stem == source.name else (wanted, wanted.name)
    candidates = [base / part for base in (from_dir, *below) for part in parts]
    if parts and from_dir.resolve().name == wanted.name:
        candidates.append(from_dir)
    found = next((path for path in candidates if path.is_dir() and any(path.iterdir())), None)
    for path in (from_dir / source.name, *candidates) if found is None else ():
        if path.is_symlink() and not path.exists():
            raise DatasetError(f"{path} is a link to nothing")
    return found


def _unpacked(source: SourceFile, raw_dir: Path) -> Path | None:
    """Our own complete extraction of the source, even where the archive is gone."""
    known = recorded(stamp_path(raw_dir, source.name))
    if known is None or known.sha256 is None or source.checksum.complaint(known):
        return None
    target = raw_dir / source.stem
    inner = target / (source.folder or "")
    return inner if is_extracted(target, known.sha256) and inner.is_dir() else None


def _expected(source: SourceFile, raw_dir: Path) -> Checksum:
    """What is published of a source, or else what was recorded at its first use."""
    known = recorded(stamp_path(raw_dir, source.name))
    if source.checksum.pinned or known is None:
        return source.checksum
    return replace(source.checksum, sha256=known.sha256)


def _rest(source: SourceFile, raw_dir: Path) -> int | None:
    """Bytes still to be downloaded, as far as the size is known."""
    part = raw_dir / f"{source.name}.part"
    have = part.stat().st_size if part.exists() else 0
    return None if source.size is None else max(0, source.size - have)


def _wrong(source: SourceFile, path: Path, raw_dir: Path, progress: Progress) -> str | None:
    """What is wrong with a file that is there, and what to do; None if nothing is."""
    if path.is_dir():
        return None
    expected, stamp = _expected(source, raw_dir), stamp_path(raw_dir, source.name)
    complaint = verify(path, stamp, expected, progress=progress)
    if complaint is None:
        return None
    advice = "give the right file"
    if path.is_relative_to(raw_dir):
        bad = path.replace(path.with_name(f"{path.name}.bad"))
        advice = f"it is now called {bad.name}; run the same command again to get the right file"
    if not source.checksum.pinned and expected.pinned:
        advice += f", or remove {stamp} if this one is right"
    return f"{path} is not the expected file: {complaint}; {advice}"


def _first_use(source: SourceFile, raw_dir: Path) -> str:
    """What to do where the hash that was demanded is that of a file which was wrong."""
    stamp = stamp_path(raw_dir, source.name)
    if source.checksum.pinned or not stamp.exists():
        return ""
    return f"\nthe hash of the first file used is demanded; if that was wrong, remove {stamp}"


def _refuse(failed: Sequence[tuple[SourceFile, str]], command: str) -> None:
    """Raise one error that lists what could not be had, and how to bring it; none, no error."""
    if not failed:
        return
    lines = ["these files are needed and cannot be fetched:"]
    for source, reason in failed:
        lines.append(f"  {source.name} ({source.checksum.describe()})")
        lines += [f"    get it from {source.page}"] if source.page else []
        lines += [f"    {source.note}"] if source.note else []
        lines += [f"    {one.name} serves as well: {one.note}" for one in source.instead]
        lines += [f"    {line}" for line in reason.splitlines()]
    lines.append(
        "put them, or the folders that they unpack to, into one folder, "
        f"then run `{command} --from THAT_FOLDER`"
    )
    raise DatasetError("\n".join(lines))
