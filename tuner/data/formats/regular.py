"""What is asked of every file before its format: that it is there, a file, and not empty."""

from __future__ import annotations

from pathlib import Path

from tuner.data.formats.signatures import START_BYTES
from tuner.errors import InputError


def look_at(path: Path, source: str) -> tuple[int, bytes]:
    """Return the size of a file and its first bytes.

    Args:
        source: name of the file in messages.

    Raises:
        InputError: missing, a directory, no regular file, unreadable or empty.
    """
    try:
        if path.is_dir():
            raise InputError(f"{source} is a directory: name a file of vectors in it")
        if not path.exists():
            raise InputError(f"{source} does not exist: check the path")
        if not path.is_file():
            raise InputError(f"{source} is not a regular file: save the vectors to a .npy file first")
        size = path.stat().st_size
        if not size:
            raise InputError(f"{source} is empty: write it again")
        with path.open("rb") as file:
            return size, file.read(START_BYTES)
    except OSError as error:
        raise unreadable(source, error) from None


def unreadable(source: str, error: OSError) -> InputError:
    """Return the sentence for a file that the system does not let us read."""
    return InputError(f"{source} cannot be read ({error.strerror}): check the path and its permissions")
