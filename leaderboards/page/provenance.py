"""Where a row comes from: what repeats it, what fixed it, and who has verified it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from benchmarks import Result, RunKey, repeat_command, without_paths
from leaderboards.committed.files import counts_digest
from leaderboards.committed.sample import Verification, verified_by
from leaderboards.statistics.scores import Row
from leaderboards.statistics.seen import Training, seen
from leaderboards.tables import wording


@dataclass(frozen=True)
class Known:
    """What the repository knows of results.

    Attributes:
        verified: as `read_verified` gives it.
        committed: the runs whose files are in `results/`.
        training: what is known of training sets.
    """

    verified: Mapping[str, Verification] = field(default_factory=dict)
    committed: frozenset[RunKey] = frozenset()
    training: Training = field(default_factory=Training)


NOTHING = Known()


def provenance(row: Row, known: Known) -> dict[str, Any]:
    """What a row opens to.

    Returns:
        `commands` that repeat it; `facts` by name; `verified`; and `tables`, the committed episode
        tables as [name, path from the page].
    """
    results = [result for fold in sorted(row.folds) for result in row.folds[fold].results]
    records = [result.record for result in results]
    models = [record.setup.model for record in records]
    share = seen(row, known.training)
    facts = {
        "What it is": row.model.title,
        "Configuration": wording.distinct(map(_configuration, results)),
        "Asked beside": ", ".join(" ".join(own) for own in wording.answers(row)),
        "Weights": wording.distinct(model.weights_digest or wording.NONE for model in models),
        "Code of its own": wording.distinct(m.source_digest for m in models if m.source_digest),
        "Trained on": wording.distinct(
            f"{entry.dataset}"
            + ("" if entry.fold is None else f", fold {entry.fold}")
            + f" ({entry.source})"
            for model in models
            for entry in model.trained_on or ()
        ),
        "Test classes seen": share.detail if share else "",
        "Test images seen": "; ".join(share.images) if share else "",
        "Text prompts": wording.text_prompts(row),
        "Device": wording.distinct(record.hardware for record in records),
        "Arithmetic": wording.distinct(
            f"{record.setup.dtype}, batches of {record.setup.batch_size}" for record in records
        ),
        "Date": wording.distinct(sorted(record.started[:10] for record in records)),
        "Revision": wording.distinct(record.revision or wording.NONE for record in records),
        "Versions": wording.distinct(
            ", ".join(f"{name} {own}" for name, own in record.versions.items())
            for record in records
        ),
        "Digests of the counts": ", ".join(
            counts_digest(result.counts, result.queries)[:16] for result in results
        ),
    }
    return {
        "commands": list(_commands(results)),
        "verified": verified_by(results, known.verified),
        "facts": {name: text for name, text in facts.items() if text},
        "tables": [
            [f"fold {result.key.fold}" if not row.parts else str(result.key), path]
            for result in results
            if result.key in known.committed
            for path in [_path(result.key)]
        ],
    }


def _configuration(result: Result) -> str:
    config = without_paths(result.record.setup.model.config)
    return json.dumps(config, ensure_ascii=False, default=str)


def _commands(results: list[Result]) -> Iterator[str]:
    datasets = dict.fromkeys(result.key.dataset for result in results)
    for name in datasets:
        yield repeat_command([own.record for own in results if own.key.dataset == name])


def _path(key: RunKey) -> str:
    return str(PurePosixPath("results", f"{key}.parquet"))
