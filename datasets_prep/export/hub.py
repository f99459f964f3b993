"""An exported dataset on the Hugging Face hub."""

import tempfile
from pathlib import Path

from datasets_prep.errors import DatasetError
from datasets_prep.export.folder import STAMP


def push(folder: Path, repo: str, *, private: bool) -> None:
    """Push an export in Parquet to `repo`: images by `datasets`, lists and card beside them.

    The card goes first: `datasets` then writes into its head what it has pushed.

    Args:
        folder: as written by `export`; the images are copied beside it while they are pushed.
        repo: `OWNER/NAME`.
        private: whether a new repository is for its owner alone.

    Raises:
        DatasetError: if the hub refuses, is not reached, or nobody is logged in.
    """
    import datasets
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalTokenNotFoundError

    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as cache:
        loaded = datasets.load_dataset(str(folder), cache_dir=cache)
        try:
            api = HfApi()
            api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repo,
                repo_type="dataset",
                folder_path=folder,
                ignore_patterns=["data/*", STAMP],
                commit_message="Add the card, classes, folds and episode lists",
            )
            loaded.push_to_hub(repo, private=private)
        except LocalTokenNotFoundError:
            raise DatasetError(f"nobody is logged in to push {repo}; run: hf auth login") from None
        except Exception as error:
            # The hub's own errors, and of the two HTTP clients that its versions use.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DatasetError(
                f"cannot push to {repo}: {reason}; "
                f"{folder} is whole, and the same command tries again"
            ) from error
