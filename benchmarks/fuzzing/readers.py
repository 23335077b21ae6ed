"""What is fuzzed: the readers, by name, what each is given, and what counts as a finding."""

from __future__ import annotations

import io
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuner.data.formats.columns import column_of
from tuner.data.formats.wanted import IDS
from tuner.data.ids import read_ids
from tuner.data.vectors import open_vectors
from tuner.errors import TunerError
from tuner.index.inputs import open_inputs
from tuner.runtime.peak import begin_peak, peak_since_begin

SLOW_S = 4.0
"""CPU seconds that reading a file of a few kilobytes may take."""
MOST_BYTES = 300 << 20
"""Bytes of memory, or of a copy on the disk, that a file of a few kilobytes may take."""
MOST_CHARACTERS = 700
"""Characters of a sentence."""


def vectors(path: Path) -> int:
    """Read a file of vectors; return the bytes that its rows take."""
    found = open_vectors(path, "base")
    n_bytes = found.n * found.d * found.dtype.itemsize
    if n_bytes < MOST_BYTES:
        _ = found.fingerprint, found.read(0, min(found.n, 100))
    return n_bytes


def index(path: Path) -> int:
    """Read an index as a file of vectors; return the bytes that its rows take."""
    found = open_inputs(path, None)[0]
    if found.n * found.d * 4 < MOST_BYTES:
        _ = found.fingerprint
    return found.n * found.d * 4


def ids(path: Path) -> int:
    """Read a list of ids; return its bytes."""
    return read_ids(path).names.nbytes


def column(path: Path) -> int:
    """Read a column of ids; return its bytes."""
    return column_of(path, "id", frozenset(), IDS).nbytes


def as_it_is(content: bytes) -> bytes:
    """Return the content of a file."""
    return content


def as_pickle(content: bytes) -> bytes:
    """Return a torch file of these instructions, which no sum of the archive guards."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/data.pkl", content)
        archive.writestr("x/data/0", np.ones(20, np.float32).tobytes())
        archive.writestr("x/data/1", np.ones(5, np.int64).tobytes())
    return file.getvalue()


def as_entry(content: bytes) -> bytes:
    """Return a .npz file whose one array is this."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("emb.npy", content)
    return file.getvalue()


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes:
        suffixes: suffixes of its files; the first byte of an input says which.
        read: reads a file and returns the bytes of what is in it.
        wrapped: content of the file from that of an input.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Path], int] = vectors
    wrapped: Callable[[bytes], bytes] = as_it_is


READERS = {
    "torch-pickle": Reader((".pt",), wrapped=as_pickle),
    "npz": Reader((".npz",)),
    "word2vec": Reader((".bin",)),
    "json": Reader((".json", ".jsonl")),
    "hnswlib": Reader((".bin",), index),
    "usearch": Reader((".usearch",), index),
    "vecs": Reader((".fvecs", ".bvecs", ".fbin", ".u8bin", ".i8bin")),
    "npy": Reader((".npy",)),
    "text": Reader((".csv", ".tsv", ".txt", ".vec")),
    "npz-entry": Reader((".npz",), wrapped=as_entry),
    "ids": Reader((".txt", ".npy", ".jsonl", ".json"), ids),
    "column": Reader((".json", ".jsonl", ".npz", ".parquet", ".arrow", ".h5", ".csv"), column),
    "torch": Reader((".pt",)),
    "safetensors": Reader((".safetensors",)),
    "arrow": Reader((".arrow",)),
    "parquet": Reader((".parquet",)),
    "hdf5": Reader((".h5",)),
    "faiss": Reader((".faiss",), index),
}
"""Readers by name, those whose parsing is most our own first."""


def finding(reader: Reader, content: bytes, path: Path) -> str:
    """Return what is wrong with how a file is read, empty if nothing.

    Args:
        content: content of the file.
        path: where it is written.
    """
    path.write_bytes(content)
    begin_peak()
    before, started = peak_since_begin(), time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DeprecationWarning)  # which Python shows to nobody
            n_bytes = reader.read(path)
    except TunerError as error:
        n_bytes = 0
        if "\n" in str(error) or len(str(error)) > MOST_CHARACTERS:
            return "a sentence of several lines, or a long one"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return _where(error)
    if time.process_time() - started > SLOW_S:
        return f"more than {SLOW_S:.0f} CPU seconds"
    grown = peak_since_begin() - before
    if max(n_bytes, grown) > MOST_BYTES:
        return f"more than {MOST_BYTES >> 20} MiB"
    return ""


def _where(error: Exception) -> str:
    """Return the type of an error and the last places that it came through."""
    places, trace = [], error.__traceback__
    while trace is not None:
        places.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' '.join(places[-4:])}"
