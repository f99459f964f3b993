"""What no file shows alone: palettes that differ, images turned, copies, masks inside out."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from datasets_prep.datasets.folder.labels import Summary
from datasets_prep.datasets.folder.layout import Entry, Problem
from datasets_prep.errors import DatasetError

Checked = Sequence[tuple[Entry, Summary]]


def shared_problems(checked: Checked, by_index: bool) -> list[Problem]:
    """What must be asked or refused of the files together."""
    asked = [
        Problem(
            "EXIF orientation, and the labels fit the image as stored and as turned: give --exif "
            "turn if they were painted on the turned view (as viewers show it), else --exif ignore",
            f"{entry.image}: orientation {summary.image.orientation}",
        )
        for entry, summary in checked
        if summary.asks and summary.image is not None
    ]
    return asked + ([] if by_index else list(_palettes(checked)))


def _palettes(checked: Checked) -> Iterator[Problem]:
    first: dict[int, tuple[Path, tuple[int, ...]]] = {}
    for _, summary in checked:
        for path, palette in summary.palettes:
            for index, colour in palette:
                other, known = first.setdefault(index, (path, colour))
                if colour != known:
                    yield Problem(
                        "palettes differ, so that an index means another class in each file: say "
                        "with --colors FILE what each colour means, or --by-index if the indices "
                        "are right all the same",
                        f"index {index} is {_hex(known)} in {other} and {_hex(colour)} in {path}",
                    )
                    break


def _hex(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)


def refuse_binary_labels(checked: Checked, classes: Sequence[str], folder: Path) -> None:
    """Refuse label maps in which nothing is left but background and what is ignored.

    Raises:
        DatasetError: saying how 0 and 255 are read as a mask.
    """
    if any(summary.present for _, summary in checked):
        return
    if any(summary.ignored and entry.labels for entry, summary in checked):
        name = classes[0] if len(classes) == 1 else "CLASS"
        raise DatasetError(
            f"{folder}: no label file holds a class; all that is not 0 is a value of --ignore "
            f"(255 by default). Masks of 0 and 255 belong into masks/{name}/ instead of labels/; "
            "with a single class, --ignore none reads 255 as that class"
        )


def remarks(checked: Checked, classes: Sequence[str], background: bool) -> tuple[str, ...]:
    """One line on each thing that is allowed and may not be meant."""
    return (
        *_alike(classes),
        *_turned(checked),
        *_inverted(checked, classes),
        *_shifted(checked, classes, background),
        *_copied(checked),
    )


def _alike(classes: Sequence[str]) -> Iterator[str]:
    first: dict[str, str] = {}
    for name in classes:
        other = first.setdefault(" ".join(name.casefold().split()), name)
        if other != name:
            yield f"classes {other!r} and {name!r} differ in case or spaces alone: are they one?"


def _turned(checked: Checked) -> Iterator[str]:
    marked = [s for _, s in checked if s.image is not None and s.image.orientation != 1]
    if marked:
        turned = sum(summary.turned for summary in marked)
        yield (
            f"{len(marked):,} images have an EXIF orientation: {turned:,} were turned as it says, "
            f"{len(marked) - turned:,} taken as stored"
        )


def _inverted(checked: Checked, classes: Sequence[str]) -> Iterator[str]:
    held = Counter(index for _, summary in checked for index in summary.present)
    framed = Counter(index for _, summary in checked for index in summary.framed)
    for index, count in sorted(framed.items()):
        if 2 * count > held[index]:
            yield (
                f"masks of {classes[index]!r} hold the image's border in {count:,} of "
                f"{held[index]:,} images: are they inverted?"
            )


def _shifted(checked: Checked, classes: Sequence[str], background: bool) -> Iterator[str]:
    present = frozenset[int]().union(*(summary.present for _, summary in checked))
    labelled = any(entry.labels for entry, _ in checked)
    if labelled and background and len(classes) > 1 and len(classes) - 1 not in present:
        yield (
            f"label 0 is background, and no pixel has the label {len(classes)} of the last class "
            f"{classes[-1]!r}; if label 0 is {classes[0]!r}, give --no-background"
        )


def copies(checked: Checked) -> Mapping[str, str]:
    """Of each image whose file's bytes another has too, the first of them."""
    first: dict[str, str] = {}
    known: dict[str, str] = {}
    for entry, summary in checked:
        if summary.image is not None:
            one = first.setdefault(summary.image.sha256, entry.image_id)
            if one != entry.image_id:
                known[one] = known[entry.image_id] = one
    return known


def _copied(checked: Checked) -> Iterator[str]:
    known = copies(checked)
    extra = [(name, one) for name, one in known.items() if name != one]
    if extra:
        yield (
            f"{len(extra):,} images are copies of {len(set(known.values())):,} others under "
            f"another name, such as {extra[0][0]} of {extra[0][1]}"
        )
