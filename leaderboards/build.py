"""`bench leaderboard`: from a results store to boards."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tabulate import tabulate

from benchmarks import BenchError, Gallery, write_whole
from leaderboards.committed.collect import LeftOut, Places, collect
from leaderboards.committed.files import find_committed
from leaderboards.committed.gallery import GALLERY, add_to_gallery, gallery_data, read_gallery
from leaderboards.committed.sample import read_verified
from leaderboards.literature.numbers import reported
from leaderboards.literature.table import PAGE, reported_page
from leaderboards.page import html as page
from leaderboards.page.plots import board_plots
from leaderboards.page.provenance import Known
from leaderboards.statistics.groups import group_settings
from leaderboards.statistics.scores import Setting, settings
from leaderboards.statistics.seen import training
from leaderboards.tables import boards as markdown
from leaderboards.tables import wording
from leaderboards.tables.markdown import BOARDS
from leaderboards.tables.pictures import PAGE as PICTURES
from leaderboards.tables.pictures import pictures
from leaderboards.tables.speed import speed_section


@dataclass(frozen=True)
class Built:
    """What was built.

    Attributes:
        text: the boards for a terminal.
        files: what was written, in order.
        settings: the boards as values.
        left_out: results that are on no board.
    """

    text: str
    files: tuple[Path, ...]
    settings: tuple[Setting, ...]
    left_out: tuple[LeftOut, ...]


def build(
    results_root: Path,
    output: Path,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    plots: bool = False,
    gallery: Gallery | None = None,
) -> Built:
    """Write `README.md` and `index.html` to `output`, and a page per dataset to `output/boards`.

    Pages and pictures of datasets that are on no board any more are deleted.
    The boards hold what is in the results store and what is committed in `output/results`; the same
    results give the same bytes.

    Args:
        results_root: the results store.
        output: where the boards go.
        groups: names of datasets that have a page together too, with their mean, by its name.
        plots: draw PNGs anew, for `pictures.md`; it takes matplotlib.
        gallery: episodes as the models see them, for `index.html` and `pictures.md`; they are added
            to those that `output` keeps from earlier builds.

    Raises:
        BenchError: if `output` cannot be written.
    """
    found = collect(Places(results_root, output / "results"))
    boards = settings(found.results)
    boards += group_settings(boards, groups or {})
    numbers = list(reported())
    known = Known(
        read_verified(output),
        frozenset(find_committed(output / "results")),
        training(boards, output),
    )
    shown = add_to_gallery(read_gallery(output / BOARDS), gallery or {})
    drawn = board_plots(boards) if plots else {}
    pages: dict[str, str | bytes] = {
        PAGE: reported_page(numbers, boards),
    }
    for dataset, group in groupby(boards, key=lambda setting: setting.dataset):
        pages[f"{dataset}.md"] = markdown.dataset_page(
            list(group), found.left_out, numbers, known.training
        )
    data = page.board_data(boards, numbers, known)
    pages["board.json"] = page.to_json(data) + "\n"
    pages |= drawn | pictures(boards, shown, drawn.keys() if plots else _plots(output / BOARDS))
    if gallery:
        pages[GALLERY] = json.dumps(gallery_data(shown), indent=1) + "\n"
    top: dict[str, str | bytes] = {
        "README.md": markdown.overview(boards, found.left_out, numbers)
        + speed_section(results_root),
        "index.html": page.html(data, shown),
    }
    files = []
    for name, content in (top | {f"{BOARDS}/{name}": own for name, own in pages.items()}).items():
        files.append(output / name)
        _write(files[-1], content)
    for stale in _earlier(output / BOARDS, plots) - pages.keys():
        (output / BOARDS / stale).unlink()
    return Built(_terminal(boards, found.left_out), tuple(files), tuple(boards), found.left_out)


def _plots(boards: Path) -> set[str]:
    """The plots that were drawn before, by `plot_name`."""
    return {path.relative_to(boards).as_posix() for path in boards.glob("plots/*.png")}


def _earlier(boards: Path, plots: bool) -> set[str]:
    """Pages and pictures of earlier builds, plots where they are drawn anew; nothing of others."""
    found = {path.relative_to(boards).as_posix() for path in boards.glob("pictures/*.jpg")}
    for path in boards.glob("*.md"):
        if path.name == PICTURES or markdown.READ.encode() in path.read_bytes():
            found.add(path.name)
    return found | (_plots(boards) if plots else set())


def _write(path: Path, content: str | bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error.strerror}") from None


def _terminal(boards: Sequence[Setting], left_out: Sequence[LeftOut]) -> str:
    parts = []
    for setting in boards:
        title = f"{setting.dataset}, {setting.protocol.name}, {wording.shot(setting.shots)}"
        if setting.limit is not None:
            title += f", {wording.cut(setting)}"
        parts.append(title)
        for tier, rows in wording.tiers(setting):
            body = [
                [
                    wording.rank(setting, row),
                    wording.named(row),
                    wording.mean_or_fold(setting, row, "miou"),
                    wording.mean_or_fold(setting, row, "fb_iou"),
                    wording.milliseconds(row.milliseconds),
                ]
                for row in rows
            ]
            head = ["#", tier.partition(":")[0], "mIoU (95%)", "FB-IoU (95%)", "ms"]
            align = ("right", "left", "right", "right", "right")
            parts.append(tabulate(body, head, "simple", colalign=align, disable_numparse=True))
    if left_out:
        parts.append("Left out:\n" + "\n".join(f"  {line}" for line in wording.reasons(left_out)))
    return "\n\n".join(parts) + "\n" if parts else "There are no results yet; run: bench run\n"
