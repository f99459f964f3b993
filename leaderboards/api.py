"""Boards and comparisons for programs: what `import leaderboards` offers; see `docs/api.md`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import Evaluation, Gallery
from leaderboards.build import Built, build
from leaderboards.statistics.comparison import Comparison, compare_all

__all__ = ["Built", "Comparison", "compare", "leaderboard"]


def compare(*scores: Evaluation) -> list[Comparison]:
    """Every two models episode by episode, in every setting of which they share a fold.

    Args:
        scores: as `benchmarks.evaluate` and `benchmarks.load_results` give them.

    Returns:
        Differences with 95% intervals, a paired permutation test corrected by Holm, and where the
        models differ most.

    Raises:
        BenchError: if there is nothing to compare, or two were not measured on the same episodes.

    >>> from benchmarks import evaluate
    >>> floors = [evaluate(m, "shapes", folds=[0], limit=40) for m in ("centre-prior", "random")]
    >>> for own in compare(*floors):
    ...     print(own.a, "-", own.b, own.miou.signed(), own.wins + own.ties + own.losses)
    centre-prior - random +... 40
    """
    return compare_all(result for own in scores for result in own.results)


def leaderboard(
    results_root: Path | str,
    output: Path | str,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    plots: bool = False,
    gallery: Gallery | None = None,
) -> Built:
    """Write markdown and a page of all results; arguments as in `leaderboards.build.build`.

    Raises:
        BenchError: if `output` cannot be written.

    >>> from benchmarks import evaluate
    >>> _ = evaluate("random", "shapes", limit=20, results_root="results")
    >>> built = leaderboard("results", "board")
    >>> [path.name for path in built.files][:2], built.left_out
    (['README.md', ...], ())
    """
    return build(Path(results_root), Path(output), groups=groups, plots=plots, gallery=gallery)
