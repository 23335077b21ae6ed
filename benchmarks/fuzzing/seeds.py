"""Files to begin with: a few small ones for each reader, as its own library or ours writes them."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import h5py
import hnswlib
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import safetensors.numpy
from usearch.index import Index

from tuner.types import FloatArray

X: FloatArray = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
Seed = tuple[int, bytes]
"""Number of the suffix among those of the reader, and the content."""


def saved(write: Callable[[str], object]) -> bytes:
    """Return the content of a file that is written under a name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        write(str(path))
        return path.read_bytes()


def npy(x: Any, version: tuple[int, int] = (1, 0)) -> bytes:
    """Return the content of a .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, x, version)
    return file.getvalue()


def archive(entries: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    """Return the content of a zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as out:
        for name, content in entries.items():
            out.writestr(name, content)
    return file.getvalue()


def tensor(key: str, shape: tuple[int, int], kind: str = "Float") -> bytes:
    """Return torch's instructions that make a tensor."""

    def text(word: str) -> bytes:
        return b"X" + len(word).to_bytes(4, "little") + word.encode()

    def whole(*numbers: int) -> bytes:
        return b"".join(b"K" + bytes([number]) for number in numbers)

    storage = b"(" + text("storage") + f"ctorch\n{kind}Storage\n".encode() + text(key) + text("cpu")
    sides = b"(" + whole(*shape) + b"t(" + whole(shape[1], 1) + b"t"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + (storage + whole(shape[0] * shape[1]) + b"tQ" + whole(0) + sides)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def pickles() -> Iterator[bytes]:
    """Yield the instructions of torch files: a tensor, and a dictionary of two."""
    yield b"\x80\x02" + tensor("0", (5, 4)) + b"."
    named = b"X\x03\0\0\0emb" + tensor("0", (5, 4)) + b"X\x03\0\0\0ids" + tensor("1", (5, 1), "Long")
    yield b"\x80\x02}q\0(" + named + b"u."


def rows(separator: str) -> str:
    """Return rows of numbers as text."""
    return "\n".join(separator.join(f"{value:.3f}" for value in row) for row in X)


def tables() -> Iterator[pa.Table]:
    """Yield tables with a column of ids and one of each kind of list."""
    for column in (
        pa.array(list(X)),
        pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 4),
        pa.array(list(X), pa.list_view(pa.float32())),
        pa.FixedShapeTensorArray.from_numpy_ndarray(X),
    ):
        yield pa.table({"id": pa.array(range(5)), "emb": column})


def of_arrow(table: pa.Table) -> bytes:
    """Return an uncompressed Arrow file."""
    return saved(lambda path: pa.feather.write_feather(table, path, compression="uncompressed"))


def of_stream(table: pa.Table) -> bytes:
    """Return an Arrow stream."""
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
    return file.getvalue()


def of_parquet(table: pa.Table) -> bytes:
    """Return a Parquet file."""
    return saved(lambda path: pa.parquet.write_table(table, path))


def of_hdf5(name: str, x: Any, **asked: Any) -> bytes:
    """Return an HDF5 file of one dataset."""

    def write(path: str) -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset(name, data=x, **asked)

    return saved(write)


def of_hnswlib(space: str) -> bytes:
    """Return an index of hnswlib with a deleted row."""
    index = hnswlib.Index(space, 4)
    index.init_index(7, M=4)
    index.add_items(X, np.arange(5) + 3, num_threads=1)
    index.mark_deleted(4)
    return saved(index.save_index)


def of_usearch(dtype: str) -> bytes:
    """Return an index of usearch."""
    index = Index(ndim=4, metric="cos", dtype=dtype)
    index.add(np.arange(5) + 2, X)
    return saved(index.save)


def of_faiss(kind: str) -> bytes:
    """Return an index of faiss."""
    index = faiss.index_factory(4, kind)
    index.train(X)
    index.add(X) if "IDMap" not in kind else index.add_with_ids(X, np.arange(5) + 2)
    return saved(lambda path: faiss.write_index(index, path))


def _npz() -> Iterator[bytes]:
    yield archive({"emb.npy": npy(X), "ids.npy": npy(np.arange(5))})
    for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        yield archive({"x.npy": npy(X)}, kind)


def _json() -> Iterator[Seed]:
    listed = X.tolist()
    records = [{"id": number, "emb": row} for number, row in enumerate(listed)]
    for value in (listed, records, {"emb": listed, "id": [1, 2]}):
        yield 0, json.dumps(value).encode()
    for lines in (listed, records):
        yield 1, "\n".join(map(json.dumps, lines)).encode()


def _vecs() -> Iterator[Seed]:
    counts = np.full((5, 1), 4, "<i4").view("<f4")
    yield 0, np.hstack([counts, X]).tobytes()
    yield 1, b"\4\0\0\0abcd" * 4
    yield 2, np.array([5, 4], "<u4").tobytes() + X.tobytes()
    for number in (3, 4):
        yield number, np.array([2, 4], "<u4").tobytes() + b"abcdefgh"


def _text() -> Iterator[Seed]:
    yield 0, rows(",").encode()
    yield 0, ("a,b,c,d\n" + rows(",")).encode()
    yield 0, b'\xef\xbb\xbf"1","2"\r\n3,nan\r\n'
    yield 0, b'id,embedding,n\n"a, b","[0.5, 1]",2\nc,"[1 2.]",3\n'
    yield 0, b"id,e_0,e_1,n\na,0.5,1,2\nb,1,2,3\n"
    yield 1, rows("\t").encode()
    yield 2, ("the " + rows(" ").replace("\n", "\nof ")).encode()
    yield 3, ("5 4\nthe " + rows(" ").replace("\n", "\nof ")).encode()


def _ids() -> Iterator[Seed]:
    yield 0, b"1\n2\n\n-1\n5"
    yield 0, "a\nb\n\u00e9".encode()
    for listed in (np.arange(4), np.array(["a", "b"]), np.array([b"a", b"bc"])):
        yield 1, npy(listed)
    yield 2, b'"a"\n"b"\n'
    yield 2, b'{"id":1}\n{"id":2}\n'
    yield 3, b'[1,2,"c"]'


def _column() -> Iterator[Seed]:
    yield 6, b'id,e\n"a, b","[0.5, 1]"\nc,"[1 2.]"\n'
    yield 0, b'[{"id":1},{"id":2}]'
    yield 1, b'{"id":"a","b":[1]}\n{"id":"b","b":[2]}'
    yield 2, archive({"id.npy": npy(np.arange(2))}, zipfile.ZIP_DEFLATED)
    for values in ([1, 2], ["a", "b"]):
        yield 3, of_parquet(pa.table({"id": values}))
        yield 4, of_arrow(pa.table({"id": values}))
        yield 5, of_hdf5("id", values)


def _alike(contents: Iterator[bytes]) -> Iterator[Seed]:
    return ((0, content) for content in contents)


SEEDS: dict[str, Callable[[], Iterator[Seed]]] = {
    "torch-pickle": lambda: _alike(pickles()),
    "npz": lambda: _alike(_npz()),
    "word2vec": lambda: _alike(
        b"5 4\n" + b"".join(b"w%d " % number + row.tobytes() + end for number, row in enumerate(X))
        for end in (b"", b"\n")
    ),
    "json": _json,
    "hnswlib": lambda: _alike(map(of_hnswlib, ("l2", "cosine"))),
    "usearch": lambda: _alike(map(of_usearch, ("f32", "f16", "i8"))),
    "vecs": _vecs,
    "npy": lambda: _alike(map(npy, (X, X.astype("f8"), np.asfortranarray(X), X.astype(">f4")))),
    "text": _text,
    "npz-entry": lambda: _alike(npy(X, version) for version in ((1, 0), (2, 0), (3, 0))),
    "ids": _ids,
    "column": _column,
    "torch": lambda: _alike(
        archive({"x/data.pkl": each, "x/data/0": X.tobytes(), "x/data/1": bytes(40)}) for each in pickles()
    ),
    "safetensors": lambda: _alike(iter([safetensors.numpy.save({"emb": X, "n": np.arange(3)})])),
    "arrow": lambda: _alike(write(table) for table in tables() for write in (of_arrow, of_stream)),
    "parquet": lambda: _alike(map(of_parquet, tables())),
    "hdf5": lambda: _alike(
        of_hdf5("emb", X, **asked) for asked in ({}, {"chunks": (2, 4), "compression": "gzip"})
    ),
    "faiss": lambda: _alike(map(of_faiss, ("Flat", "HNSW4", "IDMap,SQ8", "IVF2,Flat", "HNSW4,SQfp16"))),
}
"""Seeds of each reader."""


def write_seeds(reader: str, folder: Path) -> int:
    """Write the seeds of a reader, an input each; return how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for number, (suffix, content) in enumerate(SEEDS[reader](), start=1):
        (folder / f"seed-{number:02}").write_bytes(bytes([suffix]) + content)
    return number
