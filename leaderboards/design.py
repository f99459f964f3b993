"""DiffewS' design questions as a page: our figures beside the paper's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.errors import BenchError
from leaderboards.table import table

_SOURCE = "arXiv 2410.02369, COCO-20i fold 0, Stable Diffusion 2.1 at 512²"
# mIoU that the paper prints, 1-shot, or 5-shot for the question of shots; its figures' bars have
# no numbers in the text.
_PRINTED: Mapping[tuple[str, str], float] = {
    ("interaction", "kv_fusion"): 46.64,
    ("mask injection", "concatenation"): 46.64,
    ("mask injection", "multiplication, pixels"): 33.12,
    ("mask injection", "multiplication, latents"): 32.14,
    ("generation", "oi2m"): 46.64,
    ("generation", "mi2m, β 0.0272–0.384"): 43.2,
    ("generation", "mi2m, β 0.00085–0.012"): 19.9,
    ("generation", "mn2m"): 15.2,
    ("shots", "inference_only"): 52.0,
    ("shots", "trained"): 57.6,
}
# Which answer the paper finds better, from its numbers, its bars or its words.
_CLAIMS: Mapping[str, Sequence[tuple[str, str]]] = {
    "interaction": [("kv_fusion", "tokenized_cross_attention")],
    "mask injection": [
        ("concatenation", "multiplication, pixels"),
        ("concatenation", "multiplication, latents"),
        ("concatenation", "attention_mask"),
        ("concatenation", "addition"),
        ("multiplication, pixels", "multiplication, latents"),
    ],
    "supervision": [
        ("white_fg_black_bg", "real_fg_black_bg"),
        ("white_fg_black_bg", "black_fg_real_bg"),
        ("white_fg_black_bg", "mask_on_image"),
    ],
    "generation": [
        ("oi2m", "mi2m, β 0.0272–0.384"),
        ("mi2m, β 0.0272–0.384", "mi2m, β 0.00085–0.012"),
        ("mi2m, β 0.00085–0.012", "mn2m"),
    ],
    "shots": [
        ("trained", "inference_only"),
        ("inference_only, subsampled", "inference_only"),
    ],
}


@dataclass(frozen=True)
class Mean:
    """A mean over trainings, with Student's 95% interval; None where there is but one."""

    value: float
    half: float | None

    def __str__(self) -> str:
        if self.half is None:
            return f"{self.value:.1f}"
        return f"{self.value:.1f} ({self.value - self.half:.1f}–{self.value + self.half:.1f})"


def mean(scores: Sequence[float]) -> Mean:
    """Of at least one score."""
    if len(scores) < 2:
        return Mean(fmean(scores), None)
    from scipy.stats import t

    half = float(t.ppf(0.975, len(scores) - 1)) * stdev(scores) / sqrt(len(scores))
    return Mean(fmean(scores), half)


def write_design_page(source: Path, page: Path) -> None:
    """Write the page of an `ablation.json`.

    Raises:
        BenchError: if the file is not one.
    """
    try:
        body = json.loads(source.read_text(encoding="utf-8"))
        text = design_page(body)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(
            f"{source} is not a table of bench ablate ({error!r}); run the ablation again"
        ) from None
    page.parent.mkdir(parents=True, exist_ok=True)
    partial = page.with_name(f".{page.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(page)


def design_page(body: Mapping[str, Any]) -> str:
    """The page's markdown from what `ablation.json` holds."""
    train, seeds = body["job"]["train"], len(body["rows"][0]["scores"])
    parts = [
        "# DiffewS: the design questions",
        "Written by `bench ablate diffews`; do not edit. Every row is the paper's choice with one "
        f"answer changed. All learn from {train['steps'] * train['batch_size']:,} episodes of the "
        f"base classes of {body['dataset']}, fold {body['fold']}, in {train['steps']:,} steps, "
        f"{seeds} times with other seeds, from the same pretrained network, at "
        f"{body['job']['resolution']}². Scores are mIoU on the novel classes, over the first "
        f"{body['episodes']} episodes of {body['protocol']}: the mean over the trainings and, in "
        "brackets, Student's 95% interval over them.",
        f"The paper's figures ({_SOURCE}) are printed where its text has them; – marks bars "
        "without a number. A small network trained for minutes need not repeat what holds at full "
        "size: where the order differs, the table says so.",
    ]
    total = [0, 0, 0]
    for question, grouped in groupby(body["rows"], key=lambda row: row["question"]):
        rows = list(grouped)
        scores = {row["answer"]: [100 * score for score in row["scores"]] for row in rows}
        verdicts = [_verdict(scores, better, worse) for better, worse in _CLAIMS[question]]
        for verdict in verdicts:
            total[0] += verdict.agrees
            total[1] += not verdict.agrees
            total[2] += not verdict.agrees and verdict.clear
        cells = [
            [row["answer"], str(mean(scores[row["answer"]])), _printed(question, row["answer"])]
            for row in rows
        ]
        shots = rows[0]["shots"]
        parts += [
            f"## {question.capitalize()} ({shots}-shot)",
            table(("Answer", "Ours", "Paper"), cells, "lrr"),
            "\n".join(verdict.line for verdict in verdicts),
        ]
    summary = (
        f"**Of the paper's {total[0] + total[1]} comparisons, ours go the same way in {total[0]} "
        f"and the other way in {total[1]}, {total[2]} of these beyond the noise of the seeds.**"
    )
    parts.insert(2, summary)
    parts.append(
        f"Dataset {body['dataset_digest']}; episodes {', '.join(body['episode_digests'])}."
    )
    return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class Verdict:
    """Whether a comparison goes the paper's way here, and beyond the noise of the seeds."""

    agrees: bool
    clear: bool
    line: str


def _verdict(scores: Mapping[str, Sequence[float]], better: str, worse: str) -> Verdict:
    gaps = [a - b for a, b in zip(scores[better], scores[worse], strict=True)]
    gap = mean(gaps)
    clear = gap.half is not None and abs(gap.value) > gap.half
    agrees = gap.value > 0
    what = "agrees" if agrees else "**disagrees**"
    noise = "" if clear else ", within the noise of the seeds"
    half = "" if gap.half is None else f" ± {gap.half:.1f}"
    return Verdict(
        agrees, clear, f"- {better} over {worse}: {gap.value:+.1f}{half}; {what}{noise}."
    )


def _printed(question: str, answer: str) -> str:
    value = _PRINTED.get((question, answer))
    return "–" if value is None else f"{value:.1f}"
