"""Files behind an address of an object store or of the web, through fsspec: copied once, in blocks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from tuner.data.formats.packages import package
from tuner.data.formats.spool import BLOCK_BYTES, KEPT_FREE, ScratchFolder
from tuner.data.sources.address import Address
from tuner.errors import InputError, ResourceError

BACKENDS = {
    **{"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"},
    **dict.fromkeys(("http", "https"), "aiohttp"),
}
"""Packages that fsspec needs for a scheme, of which one is told by its name."""


@dataclass(frozen=True)
class Fetched:
    """A copy of remote files.

    Attributes:
        path: the file, or the pattern of all of them.
        folder: what the copy goes with.
    """

    path: Path
    folder: ScratchFolder

    def as_given(self, text: str, address: Address) -> str:
        """Return a message on the copy as one on the address that it was made of."""
        return text.replace(str(self.path), address.shown).replace(str(self.folder.path), address.shown)


COPIES: WeakValueDictionary[str, ScratchFolder] = WeakValueDictionary()
"""Copies by address, as long as something holds them: vectors and their ids lie in the same files."""


def fetched(address: Address) -> Fetched:
    """Return a copy of a file, or of the files of a pattern or a folder in the order of their names.

    An address of which there is a copy still is not fetched again.

    Raises:
        InputError: there is no such file, it cannot be reached, or a package is missing.
        ResourceError: the disk has no room for it.
    """
    folder = COPIES.get(address.source)
    if folder is not None:
        return _of(folder)
    with _in_words(address) as fsspec:
        system, path = fsspec.core.url_to_fs(address.source)
        return _copied(system, _files(system, path, address), address)


def addresses_of(address: Address) -> list[str]:
    """Return the addresses of the files of a pattern or a folder, in the order of their names.

    Raises:
        InputError: there is no such file, it cannot be reached, or a package is missing.
    """
    with _in_words(address) as fsspec:
        system, path = fsspec.core.url_to_fs(address.source)
        files = _files(system, path, address)
        if len(files) == 1 and files[0][0] == path:
            return [address.source]
        return [f"{address.scheme}://{name}" for name, _ in files]


@contextmanager
def _in_words(address: Address) -> Iterator[Any]:
    """Hand out fsspec; what it and its back-ends raise becomes a sentence on the address."""
    fsspec = package("fsspec", address.shown, "a remote file")
    try:
        yield fsspec
    except (InputError, ResourceError):
        raise
    except (ImportError, ValueError) as error:
        need = BACKENDS.get(address.scheme)
        if need is None or not isinstance(error, ImportError):
            raise InputError(
                f"{address.shown}: fsspec knows no {address.scheme}:// addresses: check it"
            ) from None
        raise InputError(
            f"{address.shown} needs {need}, which is not installed: pip install '{need}'"
        ) from None
    except Exception as error:  # noqa: BLE001 - fsspec's back-ends raise those of their clients
        reason = type(error).__name__
        raise InputError(
            f"{address.shown}: cannot be read ({reason}): check the address and your access"
        ) from None


def _files(system: Any, path: str, address: Address) -> list[tuple[str, int]]:
    """Return names and sizes of the files, in the order of their names."""
    if any(mark in urlsplit(path).path for mark in "*[") and not address.scheme.startswith("http"):
        found = sorted(system.glob(path))
    elif address.scheme.startswith("http") or system.isfile(path):
        found = [path]
    elif system.isdir(path):
        found = sorted(each for each in system.ls(path, detail=False) if system.isfile(each))
    else:
        found = []
    if not found:
        raise InputError(f"{address.shown} does not exist: check the address")
    return [(each, int(system.info(each).get("size") or 0)) for each in found]


def _copied(system: Any, files: list[tuple[str, int]], address: Address) -> Fetched:
    folder = ScratchFolder()
    size, free = sum(size for _, size in files), shutil.disk_usage(folder.path).free
    if size + KEPT_FREE > free:
        raise ResourceError(
            f"{address.shown} takes {size:,} bytes, where {folder.path.parent} has {free:,} free: set TMPDIR "
            "to a larger disk"
        )
    # numbered, as files of several folders may have one name, and kept in their order so
    names = [f"{number:06}-{safe_name(name)}" for number, (name, _) in enumerate(files)]
    for (name, _), local in zip(files, names, strict=True):
        with system.open(name, "rb") as there, (folder.path / local).open("wb") as here:
            shutil.copyfileobj(there, here, BLOCK_BYTES)
    COPIES[address.source] = folder
    return _of(folder)


def _of(folder: ScratchFolder) -> Fetched:
    names = [path.name for path in folder.path.iterdir()]
    return Fetched(folder.path / (names[0] if len(names) == 1 else "*"), folder)


def safe_name(name: str) -> str:
    """Return the last part of a remote name, of which no folder is made.

    >>> safe_name("https://host/a/../x.npy?signature=secret")
    'x.npy'
    """
    last = PurePosixPath(urlsplit(name).path).name
    return last if last not in ("", ".", "..") else "vectors"
