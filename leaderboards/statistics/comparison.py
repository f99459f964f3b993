"""Two models on the same episodes: is one better, by how much, and where.

Both models answer the same episodes, so their difference is far less uncertain than either
figure. Its interval is the bootstrap of `benchmarks.evaluation.intervals` with both models on the
same draws.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

import numpy as np

from benchmarks import BenchError, Figure, Result, RunKey, figures, intervals, other_option
from leaderboards.committed.collect import episodes_digest
from leaderboards.statistics.scores import mixed
from leaderboards.statistics.significance import holm, permutation_test

MOST_DIFFERENT = 10
Pair = tuple[Result, Result]


@dataclass(frozen=True)
class ClassDifference:
    """One class: both models' IoU in 0..1, and the difference a - b."""

    name: str
    a: float
    b: float
    difference: Figure


@dataclass(frozen=True)
class EpisodeDifference:
    """One episode: both models' IoU on its query, in 0..1."""

    fold: int
    episode: int
    class_name: str
    query: str
    a: float
    b: float


@dataclass(frozen=True)
class Comparison:
    """Model a against model b in one setting; differences are a - b, in 0..1.

    Attributes:
        dataset: of both.
        protocol: of both.
        folder: the protocol's folder in the store, another one for lists of which only part was
            run.
        shots: of both.
        folds: the folds that both were measured on, of `of`.
        a_miou: mean over those folds; likewise `b_miou`.
        miou: the difference in mIoU; likewise `fb_iou`.
        p: two-sided p-value of the permutation test on the mIoU.
        adjusted_p: after Holm's correction for all comparisons of the setting.
        wins: episodes in which a has the higher IoU; ties and losses likewise.
        classes: where a is best first.
        episodes: those that differ most.
        mixed: what differs in one model's folds and should not, in words; see `scores.mixed`.
    """

    a: str
    b: str
    dataset: str
    protocol: str
    folder: str
    shots: int
    folds: tuple[int, ...]
    of: int
    a_miou: float
    b_miou: float
    miou: Figure
    fb_iou: Figure
    p: float
    adjusted_p: float
    wins: int
    ties: int
    losses: int
    classes: tuple[ClassDifference, ...]
    episodes: tuple[EpisodeDifference, ...]
    mixed: tuple[str, ...] = ()

    @property
    def setting(self) -> str:
        """Dataset, protocol and shots, for people."""
        return f"{self.dataset}, {self.folder}, {self.shots}-shot"

    @property
    def part(self) -> str:
        """What stands behind the setting where only part of the folds could be compared."""
        return part_of(self.folds, self.of)


def part_of(folds: Sequence[int], of: int) -> str:
    """`, 1 of 4 folds`; nothing where all are there."""
    return f", {len(folds)} of {of} folds" if len(folds) < of else ""


def compare_all(
    results: Iterable[Result], note: Callable[[str], object] = lambda _: None
) -> list[Comparison]:
    """Compare every two models in every setting that they share.

    Args:
        results: of any models and settings.
        note: hears of two models that have no fold of a setting in common, and are left out.

    Raises:
        BenchError: if there is nothing to compare, or two models were not measured on the same
            episodes; both digests are named.
    """
    settings: dict[str, dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        settings[setting_name(result.key)][result.key.model].append(result)
    comparisons, apart = [], []
    for name, models in settings.items():
        own = []
        for a, b in combinations(models, 2):
            if {r.key.fold for r in models[a]}.isdisjoint(r.key.fold for r in models[b]):
                apart.append(f"{a} and {b} on {name}, have no fold in common; run one of both")
            else:
                own.append(compare(models[a], models[b]))
        adjusted = holm([comparison.p for comparison in own])
        comparisons += [
            replace(comparison, adjusted_p=p) for comparison, p in zip(own, adjusted, strict=True)
        ]
    if not comparisons:
        raise BenchError(
            "\n".join(apart)
            or "there are no two models with results in one dataset, protocol and number of shots"
        )
    for text in apart:
        note(text)
    return comparisons


def compare(a: Sequence[Result], b: Sequence[Result]) -> Comparison:
    """Compare two models on the folds that both were measured on.

    Args:
        a: one model's results in one setting, one a fold.
        b: the other's in the same setting.

    Raises:
        BenchError: if they have no fold in common, or were not measured on the same episodes;
            both digests are named. Also if the folds of one have no mean, see `other_option`.
    """
    pairs = {fold: (own[0], own[1]) for fold, own in by_fold([a, b]).items()}
    differences = [_differ(pair) for pair in pairs.values()]
    episodes = [episode for pair in pairs.values() for episode in _episodes(pair)]
    gaps = [episode.a - episode.b for episode in episodes]
    a_miou, b_miou = (fmean(figures.miou(pair[i]) for pair in pairs.values()) for i in (0, 1))
    a_fb, b_fb = (fmean(figures.fb_iou(pair[i]) for pair in pairs.values()) for i in (0, 1))
    p = permutation_test({fold: figures.clusters(pair) for fold, pair in pairs.items()})
    return Comparison(
        a=a[0].key.model,
        b=b[0].key.model,
        dataset=a[0].key.dataset,
        protocol=a[0].record.setup.protocol.name,
        folder=a[0].key.protocol,
        shots=a[0].key.shots,
        folds=tuple(pairs),
        of=len(a[0].record.setup.dataset.tested),
        a_miou=a_miou,
        b_miou=b_miou,
        miou=Figure(
            a_miou - b_miou,
            intervals.interval(intervals.over_folds([own.miou for own in differences])),
        ),
        fb_iou=Figure(
            a_fb - b_fb,
            intervals.interval(intervals.over_folds([own.fb_iou for own in differences])),
        ),
        p=p,
        adjusted_p=p,
        wins=sum(gap > 0 for gap in gaps),
        ties=sum(gap == 0 for gap in gaps),
        losses=sum(gap < 0 for gap in gaps),
        classes=tuple(
            sorted(
                (found for own in differences for found in own.classes),
                key=lambda found: (-found.difference.value, found.name),
            )
        ),
        episodes=tuple(
            heapq.nlargest(MOST_DIFFERENT, episodes, key=lambda found: abs(found.a - found.b))
        ),
        mixed=tuple(
            f"the folds of {row[0].key.model} differ in {name}"
            for row in zip(*pairs.values(), strict=True)
            for name in mixed(result.record for result in row)
        ),
    )


def setting_name(key: RunKey) -> str:
    """Dataset, protocol and shots, for people."""
    return f"{key.dataset}, {key.protocol}, {key.shots}-shot"


def by_fold(rows: Sequence[Sequence[Result]]) -> dict[int, list[Result]]:
    """The results of each fold that all rows have, in the rows' order.

    Args:
        rows: each one model's results in one setting, one a fold.

    Raises:
        BenchError: if there is no such fold, if the folds of one row have no mean, see
            `other_option`, or if two rows were not measured on the same episodes.
    """
    for row in rows:
        _check_row(row)
    folds = [{result.key.fold: result for result in row} for row in rows]
    common = sorted(set.intersection(*map(set, folds)))
    if not common:
        keys = " and ".join(str(row[0].key) for row in rows)
        raise BenchError(f"{keys} have no fold in common; run one of both")
    for fold in common:
        for own in folds[1:]:
            check_same(folds[0][fold], own[fold])
    return {fold: [own[fold] for own in folds] for fold in common}


def _check_row(results: Sequence[Result]) -> None:
    """Refuse results that are not one model's, one a fold."""
    first = results[0]
    model = f"{first.key.model} on {setting_name(first.key)},"
    if len({result.key.fold for result in results}) < len(results):
        raise BenchError(f"{model} is there twice; give one another name")
    for result in results:
        found = other_option(first.record.setup, result.record.setup)
        if found is not None:
            raise BenchError(
                f"{model} was measured with {found}; measure them alike, or under two names"
            )


def _digest(result: Result) -> Hashable:
    return result.record.setup.dataset.digest


def _labels_digest(result: Result) -> Hashable:
    return result.record.setup.dataset.labels_digest


_SAME: Mapping[str, Callable[[Result], Hashable]] = {
    "episode lists": lambda result: result.record.setup.episodes.digest,
    "numbers of episodes": lambda result: result.record.setup.episodes.count,
    "queries, classes or pixels": episodes_digest,
}


def check_same(a: Result, b: Result) -> None:
    """Refuse two results that were not measured on the same episodes.

    Raises:
        BenchError: naming both, and what differs with both digests.
    """
    labels = any(result.record.setup.dataset.labels_alone for result in (a, b))
    data = {"sets of labels and lists": _labels_digest} if labels else {"datasets": _digest}
    for what, value in {**data, **_SAME}.items():
        if value(a) != value(b):
            raise BenchError(
                f"{a.key} and {b.key} cannot be compared: they were measured on different {what}, "
                f"{str(value(a))[:16]} and {str(value(b))[:16]}"
            )


@dataclass(frozen=True)
class _Difference:
    miou: intervals.Floats
    fb_iou: intervals.Floats
    classes: tuple[ClassDifference, ...]


def _differ(pair: Pair) -> _Difference:
    """Draws of the differences on one fold."""
    setup = pair[0].record.setup
    a, b = (figures.class_ious(result) for result in pair)
    mious = np.zeros(intervals.RESAMPLES)
    totals: intervals.Floats = np.zeros(1)
    classes = []
    for own in figures.clusters(pair):
        sums = intervals.draw(own, setup.fold)
        class_gap = _gap(intervals.pooled_iou(sums))
        mious += _gap(intervals.shared_iou(sums, own.share))
        totals = totals + sums
        difference = Figure(a[own.index] - b[own.index], intervals.interval(class_gap))
        name = setup.dataset.classes[own.index]
        classes.append(ClassDifference(name, a[own.index], b[own.index], difference))
    return _Difference(mious, _gap(intervals.total_fb_iou(totals)), tuple(classes))


def _gap(models: intervals.Floats) -> intervals.Floats:
    return models[..., 0] - models[..., 1]


def _episodes(pair: Pair) -> list[EpisodeDifference]:
    a, b = (result.counts for result in pair)
    setup = pair[0].record.setup
    a_ious, b_ious = a.ious.tolist(), b.ious.tolist()
    return [
        EpisodeDifference(
            setup.fold, episode, setup.dataset.classes[index], query, a_ious[row], b_ious[row]
        )
        for row, (episode, index, query) in enumerate(
            zip(a.episode.tolist(), a.class_id.tolist(), pair[0].queries, strict=True)
        )
    ]
