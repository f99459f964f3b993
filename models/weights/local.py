"""What a user names on this machine."""

from pathlib import Path


def local(text: str) -> Path | None:
    """The file or folder that a text names, `~` as at home; None where there is none."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (RuntimeError, OSError, ValueError):  # no such user, too long a name, a null byte
        return None
