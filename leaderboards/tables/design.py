"""DiffewS' design questions as a page: our figures beside the paper's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks import BenchError, write_whole
from leaderboards.tables.markdown import Markup, table
from leaderboards.tables.wording import NONE

# What the paper (arXiv 2410.02369, v1) says in figures: mIoU, 1-shot, or 5-shot for the question of
# shots. Most bars of its figures have no numbers in the text.
_PRINTED: Mapping[tuple[str, str], str] = {
    ("interaction", "kv_fusion with concatenation"): "46.6",
    ("mask injection", "concatenation"): "46.6",
    ("mask injection", "multiplication (pixels)"): "33.1",
    ("mask injection", "multiplication (latents)"): "32.1",
    ("generation", "oi2m"): "46.6 (¹)",
    ("generation", "mi2m (β 0.0272–0.384)"): "43.2 (²)",
    ("generation", "mi2m (β 0.00085–0.012)"): "19.9 (²)",
    ("generation", "mn2m"): "15.2",
    ("shots", "inference_only"): "52.0",
    ("shots", "inference_only (subsampled)"): "(³)",
    ("shots", "trained"): "57.6",
}
_NOTES = (
    "(¹) inferred from the table of thresholds, whose absolute one of 0.1 gives this figure; "
    "(²) the sum of figures that the text gives as differences; (³) measured by the paper in "
    "another setting, in which the test classes are seen: 72.2 without and 74.7 with subsampling."
)
# Which answer the paper finds better, from its numbers, its bars or its words.
_CLAIMS: Mapping[str, Sequence[tuple[str, str]]] = {
    "interaction": [
        ("kv_fusion with concatenation", "tokenized_cross_attention with attention_mask"),
        ("kv_fusion with attention_mask", "tokenized_cross_attention with attention_mask"),
    ],
    "mask injection": [
        ("concatenation", "multiplication (pixels)"),
        ("concatenation", "multiplication (latents)"),
        ("concatenation", "attention_mask"),
        ("concatenation", "addition"),
        ("multiplication (pixels)", "multiplication (latents)"),
    ],
    "mask injection, tokenized": [
        ("attention_mask", "multiplication (pixels)"),
        ("attention_mask", "addition"),
    ],
    "supervision": [
        ("white_fg_black_bg", "real_fg_black_bg"),
        ("white_fg_black_bg", "black_fg_real_bg"),
        ("white_fg_black_bg", "mask_on_image"),
    ],
    "generation": [
        ("oi2m", "mi2m (β 0.0272–0.384)"),
        ("mi2m (β 0.0272–0.384)", "mi2m (β 0.00085–0.012)"),
        ("mi2m (β 0.00085–0.012)", "mn2m"),
    ],
    "shots": [
        ("trained", "inference_only"),
        ("inference_only (subsampled)", "inference_only"),
    ],
}


@dataclass(frozen=True)
class Mean:
    """A mean over trainings, with Student's 95% interval; None where there is but one."""

    value: float
    half: float | None
    style: str = ".1f"

    def __str__(self) -> str:
        value = format(self.value, self.style)
        if self.half is None:
            return value
        low, high = (format(self.value + sign * self.half, self.style) for sign in (-1, 1))
        return f"{value} ({low} to {high})"


def mean(scores: Sequence[float], style: str = ".1f") -> Mean:
    """Of at least one score; `style` formats it."""
    if len(scores) < 2:
        return Mean(fmean(scores), None, style)
    from scipy.stats import t

    half = float(t.ppf(0.975, len(scores) - 1)) * stdev(scores) / sqrt(len(scores))
    return Mean(fmean(scores), half, style)


def write_design_page(source: Path, page: Path) -> None:
    """Write the page of an `ablation.json`, and the file beside it.

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
    write_whole(page.with_suffix(".json"), source.read_bytes())
    write_whole(page, text)


def design_page(body: Mapping[str, Any]) -> str:
    """The page's markdown from what `ablation.json` holds."""
    questions, verdicts = [], []
    for question, grouped in groupby(body["rows"], key=lambda row: row["question"]):
        rows = list(grouped)
        scores = {row["answer"]: [100 * score for score in row["scores"]] for row in rows}
        answers = [
            (answer, str(mean(own)), _PRINTED.get((question, answer), NONE))
            for answer, own in scores.items()
        ]
        found = [_verdict(scores, *claim) for claim in _CLAIMS[question]]
        verdicts += [verdict.word for verdict in found]
        order = sorted(scores, key=lambda answer: -fmean(scores[answer]))
        questions += [
            f"## {question.capitalize()} ({rows[0]['shots']}-shot)",
            table(("Answer", "Ours", "Paper"), answers, "lrr"),
            f"In order here: {' > '.join(order)}.",
            table(
                ("The paper's claim", "Difference here", "Verdict"),
                [(v.claim, str(v.gap), Markup(v.word)) for v in found],
                "lrl",
            ),
        ]
    said = ", ".join(f"{verdicts.count(word)} {what}" for word, what in _COUNTED.items())
    parts = [
        "# DiffewS: the design questions",
        "Written by `bench ablate diffews`; do not edit.",
        f"**Of the paper's {len(verdicts)} comparisons, {said}.**",
        *_explained(body),
        *questions,
        _NOTES,
        f"Dataset {body['dataset_digest']}; episodes {', '.join(body['episode_digests'])}; all "
        f"trainings started from {body['started_from']}.",
    ]
    return "\n\n".join(parts) + "\n"


def _explained(body: Mapping[str, Any]) -> list[str]:
    """How the rows were trained and scored, and how far the comparison goes."""
    job, seeds = body["job"], len(body["rows"][0]["scores"])
    train = job["train"]
    recipe = []
    if job["augment"]:
        recipe.append("images mirrored and their colour channels reordered")
    if job["copies"]:
        recipe.append(f"the query as its own first support in {job['copies']:.0%} of the episodes")
    if train["ema"]:
        recipe.append(f"a moving average of the weights ({train['ema']})")
    encoder = ""
    if job["train_tokens"]:
        encoder = (
            " tokenized_cross_attention sees its supports through an image encoder that is trained "
            "from scratch within the same steps, where the paper has a pretrained CLIP."
        )
    return [
        "Every row is the paper's choice with one answer changed; only CLIP's tokens, which cannot "
        "be concatenated with a mask, are asked for the mask's injection on their own. All learn "
        f"from {train['steps'] * train['batch_size']:,} episodes of the base classes of "
        f"{body['dataset']}, fold {body['fold']}, in {train['steps']:,} steps, {seeds} times with "
        f"other seeds, from the same pretrained network, at {job['resolution']}²"
        + (f", with {'; '.join(recipe)}" if recipe else "")
        + f". mi2m and mn2m take {job['denoising_steps']} DDIM steps.{encoder}",
        f"Scores are mIoU on the novel classes over the first {body['episodes']} episodes of "
        f"{body['protocol']}, masks cut at the relative threshold 0.25: the mean over the "
        "trainings and, in brackets, Student's 95% interval over them. A difference is taken seed "
        "by seed, and undecided where its interval holds zero. The intervals tell the noise of "
        "training, not that of the episodes, which all rows share, and are not corrected for the "
        "number of comparisons.",
        "The paper's figures are those of COCO-20i fold 0, Stable Diffusion 2.1 at 512². A small "
        "network that trains for minutes need not repeat what holds at that size: what differs "
        "is said, not explained away.",
    ]


_AGREES, _UNDECIDED, _DISAGREES = "agrees", "undecided", "**disagrees**"
_COUNTED = {
    _AGREES: "hold here beyond the noise of training",
    _UNDECIDED: "are undecided",
    _DISAGREES: "come out the other way",
}


@dataclass(frozen=True)
class Verdict:
    """Whether a claim of the paper's holds here."""

    claim: str
    gap: Mean
    word: str


def _verdict(scores: Mapping[str, Sequence[float]], better: str, worse: str) -> Verdict:
    gap = mean([a - b for a, b in zip(scores[better], scores[worse], strict=True)], "+.1f")
    clear = gap.half is not None and abs(gap.value) > gap.half
    word = (_AGREES if gap.value > 0 else _DISAGREES) if clear else _UNDECIDED
    return Verdict(f"{better} > {worse}", gap, word)
