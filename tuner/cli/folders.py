"""The folders of a run: made and tried before it starts, and gone again when its input was bad."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import has_magic
from pathlib import Path

from filelock import FileLock, Timeout

from tuner.data.matrix import in_utf8
from tuner.data.sources import is_address
from tuner.data.sources.address import Address
from tuner.errors import InputError, TunerError
from tuner.runtime.cache import cache_dir
from tuner.runtime.journal import JOURNAL

FINISHED_STAGES, UNFINISHED_FILES = "*.stage", "*.partial"
NO_NAME = re.compile(r"[^\w.-]")
"""What of an address stands in no name of a folder."""
ANOTHER_OUT = "choose another --out"


class BusyFolderError(TunerError):
    """Another run writes to the folder: nothing in it is touched."""


def name_of(source: str) -> str:
    """Return what the results of a file, a folder or a pattern are kept under.

    >>> name_of("data/embeddings.npy"), name_of("data/shards/*.npy"), name_of("s3://bucket/x.npy?key=k")
    ('embeddings', 'shards', 'x')
    """
    if is_address(source):
        return NO_NAME.sub("_", Address.of(source).name) or "vectors"
    path = Path(source)
    if path.is_dir() or (has_magic(source) and not path.exists()):
        named = path if path.is_dir() else path.parent
        return in_utf8(named.resolve().name) or "vectors"
    return in_utf8(path.stem)


def has_journal(work: Path) -> bool:
    """Return whether a run began to keep its stages in ``work``."""
    return any(work.rglob(JOURNAL))


def remove_partial_files(folder: Path) -> None:
    """Remove the files of a folder that were being written when their run was ended."""
    for path in folder.glob(UNFINISHED_FILES):
        path.unlink(missing_ok=True)


@contextmanager
def claimed(*folders: Path) -> Iterator[None]:
    """Make the folders and try to write to them.

    Bad input removes what was made. A lack of resources does too, unless a stage was finished, which a
    resumed run need not repeat.

    Raises:
        InputError: one of them cannot be made or written to.
        BusyFolderError: another run writes to the first of them.
    """
    made: list[Path] = []
    for folder in folders:
        if in_utf8(folder.absolute()) != str(folder.absolute()):  # no library reads an index there
            raise InputError(f"{in_utf8(folder)} cannot be used, as its name is no UTF-8: {ANOTHER_OUT}")
    try:
        for folder in folders:
            made += [parent for parent in (*reversed(folder.parents), folder) if not parent.exists()]
            _try_writing(folder)
        lock = _lock_of(folders[0])
        try:
            yield
        finally:
            if lock is not None:
                lock.release()
    except BusyFolderError:
        raise  # what is there is the other run's
    except TunerError as error:
        finished = any(any(folder.rglob(FINISHED_STAGES)) for folder in folders)
        if isinstance(error, InputError) or not finished:
            _remove(made, folders)
        raise


def refuse_unwritable(*folders: Path, otherwise: str = ANOTHER_OUT) -> None:
    """Raise InputError if one of the folders could not be made or written to; make none of them."""
    for folder in folders:
        there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        _try_writing(there, otherwise)


def refuse_unwritable_files(*files: Path | None) -> None:
    """Raise InputError, before long work, if a file that the user named could not be written after it."""
    for file in filter(None, files):
        if file.is_dir():
            raise InputError(f"{file}: cannot be written (it is a folder): name another file")
        refuse_unwritable(file.parent, otherwise="name another file")


def _lock_of(folder: Path) -> FileLock | None:
    """Return the lock of a folder, held, beside the cache; it is gone with its process.

    Returns:
        None where the cache cannot be written: then runs are not kept apart.

    Raises:
        BusyFolderError: another run holds it.
    """
    locks = cache_dir() / "locks"
    name = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=16).hexdigest()
    lock = FileLock(locks / f"{name}.lock", timeout=0)
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        sentence = f"{folder}: another run writes to it: wait for it, or give another --out"
        raise BusyFolderError(sentence) from None
    except OSError:
        return None
    return lock


def _try_writing(folder: Path, otherwise: str = ANOTHER_OUT) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (FileExistsError, NotADirectoryError):
        file = next(path for path in (folder, *folder.parents) if path.exists())
        raise InputError(f"{file} is a file, not a directory: {otherwise}") from None
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): {otherwise}") from None


def _remove(made: list[Path], folders: tuple[Path, ...]) -> None:
    """Remove the run's own folders with their contents, and parents only if they are empty."""
    for folder in reversed(made):
        if folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            with suppress(OSError):
                folder.rmdir()
