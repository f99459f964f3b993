"""Files below a folder of the user's, which may be put together of links."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Files below a folder, through links too, in no order.

    Links that cannot be followed, because they lead nowhere or to a folder that holds them, come
    as themselves: opening one raises an error that names it.

    Args:
        folder: an existing folder.
        above: the real places of those that hold it.
    """
    above = (*above, folder.resolve())
    with os.scandir(folder) as entries:
        for entry in entries:
            path = folder / entry.name
            if not entry.is_dir():
                if entry.is_file() or entry.is_symlink():
                    yield path
            elif entry.is_symlink() and path.resolve() in above:
                yield path
            else:
                yield from files_below(path, above)
