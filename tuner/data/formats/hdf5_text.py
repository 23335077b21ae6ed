"""Text in an HDF5 file, read in a child process of limited memory.

Text of any length lies apart from its dataset, and HDF5 believes what a file says of the lengths: a flipped
byte in a file of six kilobytes made it take two gigabytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray

from tuner.runtime import child

SPARE_BYTES = 256 << 20
"""Memory that the child may take beside sixteen times the file."""
OF_DATASET, OF_ATTRIBUTE = "dataset", "attribute"


def dataset_text(path: Path, name: str) -> NDArray[np.str_] | None:
    """Return the texts (n,) of a dataset of variable length, None where they cannot be read."""
    found = _read(path, OF_DATASET, name)
    return None if found is None else np.array(found, dtype=np.str_)


def attribute_text(path: Path, name: str) -> str:
    """Return the text of an attribute of the file, empty where there is none that can be read."""
    found = _read(path, OF_ATTRIBUTE, name)
    return found[0] if found else ""


def _read(path: Path, what: str, name: str) -> list[str] | None:
    done = child.read_apart(__name__, path, what, name)
    if done is None or done.returncode != 0:
        return None
    return msgspec.json.decode(done.stdout, type=list[str])


def main() -> None:
    """Write text of a file to standard output; the file, of what, and a name are arguments."""
    import h5py  # noqa: PLC0415 - the extra 'formats' has it

    path, what, name = Path(sys.argv[1]), *sys.argv[2:]
    child.limit_memory(psutil.Process().memory_info().vms + SPARE_BYTES + 16 * path.stat().st_size)
    with h5py.File(path, "r") as file:
        found = file[name].asstr()[...].tolist() if what == OF_DATASET else [file.attrs[name]]
    with open(1, "wb") as out:  # the pipe to the parent
        out.write(msgspec.json.encode(msgspec.convert(found, list[str])))
