"""`gallery.json`: episodes as the models see them, beside the boards that show them.

They are drawn from photographs and masks that only the machine has that measured. Kept as pictures,
they stay where the boards are built again without them.
"""

import re
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from benchmarks import Gallery, Panel, Shown
from leaderboards.committed.files import read_beside

GALLERY = "gallery.json"
_URI = "data:image/jpeg;base64,"
_TITLE = re.compile(r"\(fold (\d+), episode \d+\)$")  # how the titles of episodes end


def read_gallery(boards: Path) -> Gallery:
    """What is kept; nothing where there is no file.

    Raises:
        BenchError: if the file is damaged.
    """
    return read_beside(
        boards / GALLERY,
        lambda body: {_place(name): list(map(_shown, own)) for name, own in body.items()},
    )


def add_to_gallery(kept: Gallery, drawn: Gallery) -> Gallery:
    """Both: of a fold that was drawn its episodes as they are now, of any other what was kept.

    An episode's new picture of a model takes the place of its old one.
    """
    every = dict(kept)
    for place, episodes in drawn.items():
        before = {shown.title: shown for shown in kept.get(place, ())}
        folds = set(map(_fold, episodes))
        others = [shown for shown in before.values() if _fold(shown) not in folds]
        together = [_together(before.get(shown.title), shown) for shown in episodes]
        every[place] = sorted([*others, *together], key=_fold)
    return every


def gallery_data(gallery: Gallery) -> dict[str, Any]:
    """The pictures by place, each as [label, model or null, data URI]."""
    return {
        "/".join(map(str, place)): [
            {
                "title": shown.title,
                "panels": [
                    [own.label, own.model, _URI + b64encode(own.jpeg).decode()]
                    for own in shown.panels
                ],
            }
            for shown in episodes
        ]
        for place, episodes in sorted(gallery.items())
    }


def _fold(shown: Shown) -> int:
    found = _TITLE.search(shown.title)
    return int(found[1]) if found else -1


def _together(kept: Shown | None, drawn: Shown) -> Shown:
    """The drawn episode, and behind its panels those of further models that were kept."""
    models = {panel.model for panel in drawn.panels}
    further = [panel for panel in kept.panels if panel.model not in models] if kept else []
    return Shown(drawn.title, (*drawn.panels, *further))


def _place(name: str) -> tuple[str, str, int]:
    dataset, protocol, shots = name.split("/")
    return dataset, protocol, int(shots)


def _shown(own: dict[str, Any]) -> Shown:
    panels = []
    for label, model, uri in own["panels"]:
        if not uri.startswith(_URI):
            raise ValueError("a picture that is no JPEG")
        panels.append(Panel(label, b64decode(uri[len(_URI) :], validate=True), model))
    return Shown(own["title"], tuple(panels))
