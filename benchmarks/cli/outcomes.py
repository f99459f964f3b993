"""What `bench run` says of its outcomes."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from benchmarks.engines.run import Outcome
    from benchmarks.results.store import Unfinished

_NAMED = 5  # failed episodes that a message names


def outcome_json(outcome: "Outcome", results_root: Path) -> dict[str, Any]:
    """One run for a program; `answers` are what was asked beside mIoU, in 0..1."""
    from benchmarks.results import figures
    from benchmarks.results.store import read_result

    body: dict[str, Any] = {"run": str(outcome.key), "status": outcome.status}
    if outcome.record is not None:
        body |= outcome.record.model_dump(mode="json")
        if figures.asked(outcome.record):
            body["answers"] = dict(figures.answers(read_result(results_root, outcome.key)))
    if outcome.unfinished is not None:
        own = outcome.unfinished
        body |= {"episodes": own.episodes, "measured": own.measured, "failed": dict(own.failed)}
    return body


def failures(run: "Unfinished") -> str:
    """What failed of one run, for the user."""
    named = [f"  episode {number}: {run.failed[number]}" for number in sorted(run.failed)[:_NAMED]]
    more = len(run.failed) - len(named)
    return "\n".join(
        [
            f"{click.style('error:', fg='red', bold=True)} {run.key} has no score, {run}:",
            *named,
            *([f"  and {more} more"] if more else []),
            "  the same command tries them again and leaves the rest as it is",
        ]
    )


def print_answers(outcomes: list["Outcome"], results_root: Path) -> None:
    """What was asked beside mIoU, by protocols with a question of their own or by `--metrics`."""
    from benchmarks.cli.console import print_table
    from benchmarks.evaluation.questions import ANSWERS, HEADS
    from benchmarks.results import figures
    from benchmarks.results.evaluation import Evaluation, evaluations
    from benchmarks.results.store import read_result

    asked = [o.key for o in outcomes if o.record and figures.asked(o.record)]
    partial = {replace(o.key, fold=0) for o in outcomes if not o.record}
    questions: dict[object, list[Evaluation]] = {}
    for own in evaluations(read_result(results_root, key) for key in asked):
        recipe = own.results[0].record.setup.episodes.recipe
        questions.setdefault(ANSWERS.get(recipe), []).append(own)
    for every in questions.values():
        # Not every model answers all of a question.
        shown = [name for name in HEADS if any(name in own.answers for own in every)]
        rows = []
        for own in every:
            lacks_folds = replace(own.results[0].key, fold=0) in partial
            means = {} if lacks_folds else own.answers
            cells = (f"{100 * means[name]:.1f}" if name in means else "–" for name in shown)
            rows.append((own.dataset, own.protocol, own.model, own.shots, *cells))
        heads = [HEADS[name] for name in shown]
        keys = ("dataset", "protocol", "model", "shots")
        print_table((*keys, *heads), rows, right=("shots", *heads))


def print_results(outcomes: list["Outcome"]) -> None:
    """A line for each model and setting: the mean over folds, and the folds."""
    from benchmarks.cli.console import print_table

    headers = ("dataset", "protocol", "model", "shots", "mIoU", "FB-IoU", "folds")
    groups: dict[tuple[str, str, str, int], list[Outcome]] = {}
    for o in outcomes:
        key = (o.key.dataset, o.key.protocol, o.key.model, o.key.shots)
        groups.setdefault(key, []).append(o)
    rows = []
    for key, runs in groups.items():
        folds = "  ".join(
            f"{o.key.fold}: {100 * o.record.miou:.1f}" if o.record else f"{o.key.fold}: {o.status}"
            for o in runs
        )
        records = [o.record for o in runs if o.record]
        whole = len(records) == len(runs)
        mean = [
            f"{100 * sum(figures) / len(runs):.1f}" if whole else "–"
            for figures in ([r.miou for r in records], [r.fb_iou for r in records])
        ]
        rows.append((*key, *mean, folds))
    print_table(headers, rows, right=("shots", "mIoU", "FB-IoU"))
