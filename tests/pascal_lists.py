"""Test lists in the form of HSNet's for PASCAL-5i."""

from pathlib import Path

IMAGES = 12  # of each class


def write_pascal_lists(folder: Path) -> None:
    """`val/fold0.txt` to `val/fold3.txt`, `2007_000123__04` a line."""
    (folder / "val").mkdir(parents=True)
    for fold in range(4):
        lines = [
            f"2007_{100 * label + image:06d}__{label:02d}\n"
            for image in range(IMAGES)
            for label in range(5 * fold + 1, 5 * fold + 6)
        ]
        (folder / f"val/fold{fold}.txt").write_text("".join(lines))
