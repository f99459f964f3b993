"""The same few episodes of every list, as all models see them, for the boards.

Which episodes are shown does not depend on any result: of each fold the first of every class, a
few of them.
"""

import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from benchmarks.evaluation.episode_mask import kept_mask
from benchmarks.pictures.episode import (
    PREDICTION,
    SUPPORT,
    TRUTH,
    intersection_over_union,
    overlay,
    panel_size,
    support_mask,
)
from benchmarks.pictures.panel import Gallery, Panel, Shown
from benchmarks.protocols.catalog import get_protocol
from benchmarks.results.kept_masks import keeps
from benchmarks.results.records import RunRecord, read_record
from benchmarks.results.store import RunKey, find_runs
from datasets_prep.episodes.episode import Episode
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset

_HEIGHT = 128  # pixels
_SUPPORTS = 2  # at most, of an episode
EPISODES = 8  # of a dataset, at one number of shots


def draw_gallery(data_root: Path, results_root: Path) -> Gallery:
    """Draw what runs with `--save-predictions` kept, where their dataset is prepared as it was."""
    runs: dict[tuple[str, str, int], list[tuple[RunKey, RunRecord]]] = defaultdict(list)
    for key in find_runs(results_root):
        if keeps(key.folder(results_root)):
            record = read_record(key.folder(results_root) / "run.json")
            runs[key.dataset, key.protocol, key.shots].append((key, record))
    gallery = {}
    for place, kept in runs.items():
        try:
            dataset = PreparedDataset(data_root, place[0])
        except DatasetError:
            continue
        digests = (dataset.digest, dataset.labels_digest) if dataset.has_images else ()
        own = [(key, record) for key, record in kept if record.setup.dataset.digest in digests]
        if own:
            gallery[place] = list(_draw(dataset, results_root, own))
    return gallery


def _draw(
    dataset: PreparedDataset, results_root: Path, runs: Sequence[tuple[RunKey, RunRecord]]
) -> Iterable[Shown]:
    folds: dict[int, list[tuple[RunKey, RunRecord]]] = defaultdict(list)
    for key, record in runs:
        folds[key.fold].append((key, record))
    # As many of a fold as if all were here, for the others may be kept from earlier.
    each = -(-EPISODES // len(runs[0][1].setup.dataset.tested))
    for fold, own in sorted(folds.items()):
        setup = own[0][1].setup
        protocol = get_protocol(setup.protocol.name)
        count = min(record.setup.episodes.count for _, record in own)
        episodes = dataset.episodes(protocol.recipe, fold, setup.shots)[:count]
        for episode in first_of_classes(episodes)[:each]:
            keys = [key for key, _ in own]
            yield _episode(dataset, results_root, fold, episode, keys, protocol.prompt)


def first_of_classes(episodes: Iterable[Episode]) -> list[Episode]:
    """The first episode of every class, in the order of the list."""
    first: dict[int, Episode] = {}
    for episode in episodes:
        first.setdefault(episode.class_index, episode)
    return list(first.values())


def _episode(
    dataset: PreparedDataset,
    results_root: Path,
    fold: int,
    episode: Episode,
    keys: Iterable[RunKey],
    prompt: str,
) -> Shown:
    kind = episode.class_index
    panels = []
    for number, support in enumerate(episode.supports[:_SUPPORTS], start=1):
        mask = support_mask(dataset, support, kind, prompt)
        image = overlay(dataset.image(support), mask, SUPPORT)
        panels.append(Panel(f"support {number}", _jpeg(image)))
    query, truth = dataset.image(episode.query), dataset.mask(episode.query, kind)
    panels.append(Panel("query", _jpeg(query)))
    panels.append(Panel("truth", _jpeg(overlay(query, truth, TRUTH))))
    for key in keys:
        found = kept_mask(results_root, key, episode.index)
        iou = 100 * intersection_over_union(found, truth)
        image = overlay(query, found.astype("uint8"), PREDICTION)
        panels.append(Panel(f"{key.model} {iou:.0f}", _jpeg(image), key.model))
    title = f"{dataset.classes[kind]} (fold {fold}, episode {episode.index})"
    return Shown(title, tuple(panels))


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    small = image.convert("RGB").resize(panel_size(image, _HEIGHT))
    small.save(buffer, format="JPEG", quality=75, optimize=True)
    return buffer.getvalue()
