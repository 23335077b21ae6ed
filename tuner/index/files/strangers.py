"""Files that are passed as an index and are none, told by their first bytes before any library reads them."""

from __future__ import annotations

from pathlib import Path

from tuner.data.formats.signatures import POINTER, START_BYTES, format_of
from tuner.errors import InputError
from tuner.search import is_of_shards

BINARY = {
    b"IBxF": "IndexBinaryFlat",
    b"IBwF": "IndexBinaryIVF",
    b"IBHf": "IndexBinaryHNSW",
    b"IBHc": "IndexBinaryHNSWCagra",
    b"IBMp": "IndexBinaryIDMap",
    b"IBM2": "IndexBinaryIDMap2",
    b"IBHh": "IndexBinaryHash",
    b"IBHm": "IndexBinaryMultiHash",
    b"IBFf": "IndexBinaryFromFloat",
}
"""Names of faiss's indexes over bits by the letters that their files begin with."""
GIVE = {
    "a .npy file": "holds vectors: give the index that was built over them, and this file as FILE",
    "a torch file": "holds tensors: give the index file that was written",
    "a zip file": "is an archive: unpack it and give the index file in it",
    "a pickle": "is what langchain keeps texts in: give the index.faiss beside it, pickles are not opened",
}


def refuse_strangers(path: Path) -> None:
    """Raise InputError for a file that is missing, unreadable, empty, or of a format that is no index."""
    if is_of_shards(path):
        raise InputError(
            f"{path}: is an index in shards, and this is asked of one index file: "
            "tuner.search.ShardedIndex searches all of them"
        )
    if not path.is_file():
        raise InputError(f"{path}: no such file: name an index")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): check its permissions") from None
    if not size:
        raise InputError(f"{path}: is empty: write the index again, or copy it again")
    found = format_of(start)
    if found == "a git-lfs pointer":
        raise InputError(f"{path}: {POINTER.format(size=size)}")
    if found == "a binary faiss index":
        name = BINARY.get(start[:4], "IndexBinary")
        raise InputError(
            f"{path}: is a faiss {name}, over bits compared by Hamming distance, which is not measured here: "
            "give an index over float vectors"
        )
    if found is not None and found != "a faiss index":
        raise InputError(f"{path}: is {found}, not an index: it {GIVE.get(found, 'is another format')}")
