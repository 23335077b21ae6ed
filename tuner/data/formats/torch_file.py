"""A .pt or .pth file of torch: one of its tensors, read where it lies, without torch."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tuner.data.formats.bfloat16 import as_float32
from tuner.data.formats.choice import Role, chosen
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.npz import UNREADABLE, begins_at
from tuner.data.formats.torch_pickle import DAMAGE, ForeignError, Tensor, tensors_of
from tuner.errors import InputError

SUFFIXES = frozenset({".pt", ".pth"})
PICKLE, ORDER = "data.pkl", "byteorder"
BFLOAT16 = "BFloat16Storage"
DTYPES = {
    "HalfStorage": "f2",
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    BFLOAT16: "u2",
}
MOST_PICKLED = 4 << 20
"""Bytes of a list of tensors: that of a model with ten thousand takes three MB."""
DAMAGED = "is a damaged or truncated torch file: copy it again or write it again with torch.save"
ALONE = "save the tensor alone with torch.save(x.detach().clone(), 'vectors.pt'), or as safetensors"


def open_torch(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return the one matrix of a torch file, or that of the name; bfloat16 as float32.

    Args:
        role: what the vectors are, which tells tensors of usual names apart.
        column: name of the tensor, its number in a list; None for the only matrix.

    Raises:
        InputError: it is damaged, holds more than tensors, or the matrix cannot be told.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _opened(archive, path, source, role, column)
    except (*UNREADABLE, *DAMAGE, RuntimeError):  # the last where an entry is encrypted
        raise InputError(f"{source} {DAMAGED}") from None


def _opened(archive: zipfile.ZipFile, path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    listed = next((each for each in archive.infolist() if each.filename.endswith(PICKLE)), None)
    if listed is None:
        raise KeyError
    root = listed.filename.removesuffix(PICKLE)
    if listed.file_size > MOST_PICKLED:
        raise InputError(f"{source} holds a list of {listed.file_size:,} bytes beside its tensors: {ALONE}")
    try:
        tensors = tensors_of(archive.read(listed))
    except ForeignError as error:
        raise InputError(f"{source} holds {error}, which is not read without torch: {ALONE}") from None
    shapes = {name: each.shape if each else () for name, each in tensors.items()}
    name = chosen(shapes, source, role, column, "tensor")
    tensor, named = tensors[name], f"{source}[{name}]" if len(tensors) > 1 else source
    if tensor is None:
        raise InputError(f"{named} is no tensor: name another with --column")
    big = root + ORDER in archive.namelist() and archive.read(root + ORDER) == b"big"
    return _in_place(archive.getinfo(f"{root}data/{tensor.storage.key}"), tensor, path, named, big)


def _in_place(entry: zipfile.ZipInfo, tensor: Tensor, path: Path, named: str, big: bool) -> FlatFile:
    """Return a tensor in the entry of its storage.

    Args:
        big: whether the first byte of a number is its largest.
    """
    kind = tensor.storage.kind
    if kind not in DTYPES:
        known = ", ".join(each.removesuffix("Storage") for each in DTYPES)
        raise InputError(
            f"{named} has dtype {kind.removesuffix('Storage')}, but vectors are {known}: convert it with "
            "x.to(torch.float32)"
        )
    dtype = np.dtype(DTYPES[kind]).newbyteorder(">" if big else "<")
    last = tensor.offset + sum(
        (side - 1) * step for side, step in zip(tensor.shape, tensor.stride, strict=True)
    )
    with path.open("rb") as file:
        begin = begins_at(file, entry)
    whole = entry.file_size == tensor.storage.n * dtype.itemsize and entry.compress_type == zipfile.ZIP_STORED
    if not whole or begin + entry.file_size > path.stat().st_size:
        raise ValueError
    if 0 not in tensor.shape and last >= tensor.storage.n:
        raise ValueError
    flat = FlatFile(
        path=path,
        source=named,
        shape=tensor.shape,
        dtype=dtype,
        offset=begin + tensor.offset * dtype.itemsize,
        fortran=_is_transposed(tensor, named),
    )
    return as_float32(flat) if kind == BFLOAT16 and len(flat.shape) == 2 else flat


def _is_transposed(tensor: Tensor, named: str) -> bool:
    """Return whether column follows column, where otherwise row follows row.

    Raises:
        InputError: it is a part of a larger tensor, neither its rows nor its columns.
    """
    if len(tensor.shape) != 2 or 0 in tensor.shape:
        return False
    n, d = tensor.shape
    # along a side of 1 there is no step
    across, along = (
        step if side > 1 else None for side, step in zip(tensor.shape, tensor.stride, strict=True)
    )
    if across in (None, d) and along in (None, 1):
        return False
    if across in (None, 1) and along in (None, n):
        return True
    raise InputError(
        f"{named} is a part of a larger tensor, of steps {tensor.stride}: save it alone with "
        "torch.save(x.contiguous().clone(), 'vectors.pt')"
    )
