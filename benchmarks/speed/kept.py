"""The place of what was measured, and what says whether two reports are of the same."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.config.schema import ModelConfig
from benchmarks.errors import BenchError
from benchmarks.results import environment
from benchmarks.results.agreement import differences
from benchmarks.results.describe import model_record
from benchmarks.speed.measure import SpeedReport
from datasets_prep.episodes.episode import Episode, digest
from datasets_prep.runtime.whole import write_whole
from models.segmenter import Segmenter, trait

Setting = Mapping[str, object]
_OF_MODEL = ("config", "weights_digest", "source_digest")


def setting(
    wanted: ModelConfig,
    model: Segmenter,
    episodes: Sequence[Episode],
    *,
    device: str,
    dtype: str,
    sample: int | None,
    batch_size: int | None,
) -> Setting:
    """What a report's times depend on, in the words of `run.json`.

    The suite's revision is no part of it: one measures again to see what a change of code brings.

    Args:
        wanted: the model as its user named it.
        model: the same, loaded.
        episodes: the whole list.
        device: where the model is: cpu, cuda or cuda:N.
        dtype: of its weights.
        sample: as `measure` gets it.
        batch_size: likewise.
    """
    record = model_record(wanted.name, model, "", wanted.target).model_dump(mode="json")
    return {
        **{name: record[name] for name in _OF_MODEL},
        "list_digest": digest(episodes),
        "sample": len(episodes[:sample]),
        "batch_size": batch_size or trait(model, "batch_size"),
        "device": device.partition(":")[0],
        "hardware": environment.hardware(device),
        "dtype": dtype,
        "versions": environment.versions(),
    }


def place(results_root: Path, model: str, source: str, shots: int, now: Setting) -> Path:
    """`speed/<model>/<list>_<shots>shot.json` in the results store, where `now` may be kept.

    Raises:
        BenchError: if a report of another setting is there, naming what differs, or one that says
            none.
    """
    path = results_root / "speed" / model / f"{source}_{shots}shot.json"
    if not path.exists():
        return path
    mend = "move it away, or keep this one elsewhere with --results-root"
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        before = {name: body[name] for name in now}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise BenchError(f"{path} does not say what it was measured with; {mend}") from None
    for name, old, new in differences(before, now):
        raise BenchError(f"{path} was measured with {name} = {old!r}, now it is {new!r}; {mend}")
    return path


def keep(path: Path, report: SpeedReport, model: str, source: str, now: Setting) -> None:
    """Write a report, with the setting that it is of, to its `place`."""
    body = {"model": model, "list": source, **now, "revision": environment.revision()}
    body |= {**asdict(report), "same_masks": report.same_masks}
    write_whole(path, json.dumps(body, indent=1) + "\n")
