"""What the test sets have in common: one fold of all classes, and files that are kept in place."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from datasets_prep.builder import Areas, Workspace
from datasets_prep.prepared.folds import FoldSet, split
from datasets_prep.prepared.list_report import Figure
from datasets_prep.runtime.disk import ensure_space
from datasets_prep.runtime.progress import Progress

EPISODES = 600


def one_fold(
    classes: int, areas: Areas, *, episodes: int | None = EPISODES, notes: tuple[str, ...] = ()
) -> FoldSet:
    """One fold in which every class is novel, its pairs in the order of the images.

    Source: slei109/PATNet, data/{isic,lung,deepglobe}.py: episode i is of class i modulo the
    number of classes, its query drawn at random.

    Args:
        classes: their number.
        areas: pixels of each class, by image; a class without pixels makes no pair.
        episodes: the published number of episodes; None for as many as there are pairs.
        notes: what a user should know of the lists.
    """
    pairs = [(image, index) for image, held in areas.items() for index in sorted(held)]
    return FoldSet(
        split([tuple(range(classes))], [], pairs),
        query_order="cycle",
        published_episodes=len(pairs) if episodes is None else episodes,
        notes=notes,
    )


def differing(
    ours: Mapping[str, int], published: Mapping[str, int], progress: Progress
) -> tuple[str, ...]:
    """A line for every published count that is not ours, also told to `progress`."""
    figures = (Figure(what, ours.get(what, 0), count) for what, count in published.items())
    lines = tuple(str(figure) for figure in figures if figure.ours != figure.published)
    for line in lines:
        progress.note(line)
    return lines


def kept_paths(workspace: Workspace, images: Iterable[Path]) -> dict[Path, Path]:
    """Where each image is to lie: where it is, or in `raw/images` if that is the user's folder.

    Images that are embedded may stay anywhere.
    """
    kept = {
        image: image
        if workspace.embed_images or image.is_relative_to(workspace.root)
        else workspace.raw / "images" / image.name
        for image in images
    }
    copied = [image for image, target in kept.items() if target != image and not target.exists()]
    if copied:
        ensure_space(workspace.raw, sum(path.stat().st_size for path in copied))
    return kept
