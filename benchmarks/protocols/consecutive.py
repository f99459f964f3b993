"""Images that follow each other, as far as file names tell: frames of a video, crops of a tile."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from datasets_prep.episodes.episode import Episode

Place = tuple[str, int]  # sequence, and position in it
# `0016E5_07959`, `2007_000033`, `d_r_122_`: a number at the end, after what names the sequence.
_NUMBERED = re.compile(r"(.*[_-])(\d+)(\D*)")


def places(images: Iterable[str]) -> Mapping[str, Place]:
    """The place of every image whose name ends in a number, among all that are named alike.

    Places count the images that there are: those of two frames differ by 1 if no image of the
    dataset lies between them, however far apart their numbers are.
    """
    numbers: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for image in images:
        match = _NUMBERED.fullmatch(image)
        if match is not None:
            numbers[match[1] + match[3]].append((int(match[2]), image))
    return {
        image: (sequence, place)
        for sequence, own in numbers.items()
        for place, (_, image) in enumerate(sorted(own))
    }


def has_neighbour(episode: Episode, known: Mapping[str, Place]) -> bool:
    """Whether a support comes directly before or after the query."""
    if episode.query not in known:
        return False
    sequence, place = known[episode.query]
    beside = {(sequence, place - 1), (sequence, place + 1)}
    return any(known.get(support) in beside for support in episode.supports)
