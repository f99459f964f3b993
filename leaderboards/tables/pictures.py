"""`pictures.md`: what models make of the same few episodes, and the plots."""

import io
from collections.abc import Collection, Sequence

from PIL import Image, ImageDraw

from benchmarks import Gallery, Panel, Shown, lettering, protocol_folder
from leaderboards.page.plots import CAPTIONS, plot_name
from leaderboards.statistics.scores import Setting
from leaderboards.tables import wording
from leaderboards.tables.markdown import escape, link

PAGE = "pictures.md"
_GAP, _LABEL = 6, 16  # pixels
_INTRO = (
    "Drawn by `bench leaderboard --plots --gallery`. The episodes are the first of the lists, "
    "chosen before any result: supports with their masks in orange, the query, the truth in green, "
    "and each model's mask in blue, with its IoU in percent; floors are left out."
)


def pictures(
    settings: Sequence[Setting], gallery: Gallery, plots: Collection[str]
) -> dict[str, str | bytes]:
    """The page and its sheets of episodes, by file name; nothing where there is nothing to show.

    Args:
        settings: the boards.
        gallery: episodes as the models see them.
        plots: names of the plots that there are.
    """
    sheets: dict[str, bytes] = {}
    parts, drawn = ["# Pictures", _INTRO], set[str]()
    for setting in settings:
        shown = {plot_name(setting, kind): CAPTIONS[kind] for kind in CAPTIONS}
        # A plot against shots belongs to several settings, and is shown with the first.
        images = {n: text for n, text in shown.items() if n in plots and n not in drawn}
        drawn |= set(images)
        folder = protocol_folder(setting.protocol.name, setting.limit)
        episodes = gallery.get((setting.dataset, folder, setting.shots), ())
        kept = {panel.model for own in episodes for panel in own.panels}
        competing = [row.model.name for row in setting.rows if row.competes]
        models = [name for name in competing if name in kept]
        if models:
            name = f"pictures/{setting.dataset}-{folder}-{setting.shots}shot.jpg"
            sheets[name] = sheet(episodes, models)
            images[name] = f"Episodes of {setting.dataset} with the masks of {', '.join(models)}"
        if images:
            title = f"{setting.dataset}, {setting.protocol.name}, {wording.shot(setting.shots)}"
            parts.append(f"## {escape(title)}")
            parts += [f"!{link(caption, name)}" for name, caption in images.items()]
    if len(parts) == 2:
        return {}
    return {PAGE: "\n\n".join(parts) + "\n", **sheets}


def sheet(episodes: Sequence[Shown], models: Sequence[str]) -> bytes:
    """One JPEG with a row for each episode: supports, query, truth, then `models` in order."""
    rows = [_chosen(episode.panels, models) for episode in episodes]
    tiles = [[(panel.label, Image.open(io.BytesIO(panel.jpeg))) for panel in row] for row in rows]
    width = max(image.width for row in tiles for _, image in row) + _GAP
    heights = [max(image.height for _, image in row) + _LABEL + _GAP for row in tiles]
    columns = max(len(row) for row in tiles)
    canvas = Image.new("RGB", (columns * width + _GAP, sum(heights) + _GAP), "white")
    pen = ImageDraw.Draw(canvas)
    top = _GAP
    for row, height in zip(tiles, heights, strict=True):
        for column, (label, image) in enumerate(row):
            left = _GAP + column * width
            drawn, font = lettering(label, 11)
            pen.text((left, top), drawn, fill="black", font=font)
            canvas.paste(image, (left, top + _LABEL))
        top += height
    buffer = io.BytesIO()
    canvas.save(buffer, format="JPEG", quality=80, optimize=True)
    return buffer.getvalue()


def _chosen(panels: Sequence[Panel], models: Sequence[str]) -> list[Panel]:
    masks = {panel.model: panel for panel in panels}
    common = [panel for panel in panels if panel.model is None]
    return common + [masks[name] for name in models if name in masks]
