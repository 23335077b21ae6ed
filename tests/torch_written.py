"""Torch's zip files written without torch, instruction by instruction."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

KINDS = {"float16": "Half", "float32": "Float", "float64": "Double", "int8": "Char", "uint8": "Byte"} | {
    "int64": "Long",
    "uint16": "BFloat16",
}
"""Torch's names of types; bfloat16 is given as its bits."""


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def whole(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)


def sides(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(whole, values)) + b"t"


def tensor(
    kind: str,
    key: str,
    shape: tuple[int, ...],
    *,
    n: int | None = None,
    offset: int = 0,
    stride: tuple[int, ...] | None = None,
) -> bytes:
    """The instructions that make a tensor."""
    steps = stride or tuple(int(np.prod(shape[place + 1 :])) for place in range(len(shape)))
    values = whole(int(np.prod(shape)) if n is None else n)
    storage = b"(" + text("storage") + f"ctorch\n{kind}Storage\n".encode() + text(key) + text("cpu") + values
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + b"tQ"
        + whole(offset)
        + sides(shape)
        + sides(steps)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def archive(
    path: Path, listed: bytes, *storages: bytes, kind: int = zipfile.ZIP_STORED, order: str = ""
) -> None:
    """Write a list of tensors, and the values that it speaks of, 0 first."""
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("x/data.pkl", b"\x80\x02" + listed + b".")
        if order:
            file.writestr("x/byteorder", order)
        for key, values in enumerate(storages):
            file.writestr(f"x/data/{key}", values)


def save(path: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """Write a dictionary of tensors."""
    parts = [
        text(name) + tensor(KINDS[x.dtype.name], str(key), x.shape)
        for key, (name, x) in enumerate(arrays.items())
    ]
    archive(path, b"}(" + b"".join(parts) + b"u", *(x.tobytes() for x in arrays.values()))
