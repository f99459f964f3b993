"""Single images from COCO's server, for those who need a few thousand and not 6.6 GB."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from datasets_prep.archives.backoff import Backoff
from datasets_prep.archives.checksums import Checksum, recorded, stamp_path, verify
from datasets_prep.errors import DatasetError
from datasets_prep.runtime.progress import Progress

_AT_ONCE = 8


def fetch_images(
    names: Sequence[str],
    folder: Path,
    address: str,
    progress: Progress,
    instead: str = "val2014.zip with --only test",
    backoff: Backoff = Backoff(),  # noqa: B008 - frozen
) -> None:
    """Have every image in `folder`; those that are there already are only checked.

    No hashes are published for them: that of the first file seen is recorded beside it, in
    `NAME.verified.json`, and demanded from then on.

    Args:
        names: file names.
        folder: where they are kept.
        address: of the folder on the server.
        progress: hears of the number of images.
        instead: what serves where the server does not, for messages.
        backoff: how patiently to download.

    Raises:
        DatasetError: naming the first image that cannot be had or has changed; what was fetched
            by then is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    one = partial(_have, folder=folder, address=address, backoff=backoff)
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        work = [pool.submit(one, name) for name in names]
        for done, future in enumerate(as_completed(work), start=1):
            future.result()
            progress.update("single images", done, len(names))
    except DatasetError as error:
        raise DatasetError(f"{error}\nrun the same command to go on, or use {instead}") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _have(name: str, *, folder: Path, address: str, backoff: Backoff) -> None:
    # An HTTP client takes long to import, and not even its options need it.
    from datasets_prep.archives.download import download

    path, stamp = folder / name, stamp_path(folder, name)
    known = recorded(stamp)
    expected = Checksum(sha256=known.sha256) if known else Checksum()
    if path.exists():
        if complaint := verify(path, stamp, expected):
            raise DatasetError(f"{path} is not what it was: {complaint}; remove it")
        return
    download((f"{address}/{name}",), path, expected, backoff=backoff)
    # The whole dataset is locked already; thousands of empty files would only be in the way.
    path.with_name(f"{name}.lock").unlink(missing_ok=True)
