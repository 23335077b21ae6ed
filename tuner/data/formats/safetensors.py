"""A .safetensors file: one of its tensors, read where it lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tuner.data.formats.bfloat16 import as_float32
from tuner.data.formats.choice import Role, chosen
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.packages import package
from tuner.errors import InputError

SUFFIX, BFLOAT16 = ".safetensors", "BF16"
DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "i1", "U8": "u1", BFLOAT16: "<u2"}
LENGTH_BYTES = 8


def open_safetensors(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return the one matrix of a .safetensors file, or that of the name; bfloat16 as float32.

    Raises:
        InputError: it is damaged, or the matrix cannot be told.
    """
    reader = package("safetensors", source, "a safetensors file")
    try:
        with reader.safe_open(path, framework="numpy") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (reader.SafetensorError, OSError):
        raise InputError(
            f"{source} is a damaged or truncated safetensors file: copy it again or write it again"
        ) from None
    name = chosen(shapes, source, role, column, "tensor")
    with path.open("rb") as file:  # its header was checked by the package
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        tensor: dict[str, Any] = json.loads(file.read(length))[name]
    named = f"{source}[{name}]" if len(shapes) > 1 else source
    if tensor["dtype"] not in DTYPES:
        raise InputError(
            f"{named} has dtype {tensor['dtype']}, but vectors are {', '.join(DTYPES)}: convert it with "
            "x.to(torch.float32)"
        )
    flat = FlatFile(
        path=path,
        source=named,
        shape=shapes[name],
        dtype=np.dtype(DTYPES[tensor["dtype"]]),
        offset=LENGTH_BYTES + length + tensor["data_offsets"][0],
    )
    return as_float32(flat) if tensor["dtype"] == BFLOAT16 and len(flat.shape) == 2 else flat
