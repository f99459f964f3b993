"""Pictures of episodes side by side, as values: what the gallery draws and the boards show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """One picture of an episode.

    Attributes:
        label: what it is: support, query, truth, or a model's mask with its IoU.
        jpeg: the picture.
        model: the name of the model; None for what does not depend on one.
    """

    label: str
    jpeg: bytes
    model: str | None = None


@dataclass(frozen=True)
class Shown:
    """One episode: supports, query, truth, and a panel for each model that kept its mask."""

    title: str
    panels: tuple[Panel, ...]


Place = tuple[str, str, int]  # dataset, the protocol's folder in the store, shots
Gallery = Mapping[Place, Sequence[Shown]]
