"""What a user's search returns, as rows of the vectors: row numbers, own ids, or these beside distances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.ids import DELETED, NO_NAME, Names, as_numbers
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.types import IdArray


def returned_ids(found: Any, nq: int, k: int) -> Names:
    """Return the ids (nq, <= k) among what a search returned: integers or text.

    faiss returns distances and ids, hnswlib labels and distances, usearch an object with ``keys``: ids are
    what is not real numbers.

    Args:
        nq: number of queries that were asked.
        k: number of ids that were asked for.

    Raises:
        InputError: there are none, or they cannot be told from something else.
    """
    keys = getattr(found, "keys", None)
    if isinstance(keys, np.ndarray):
        found = keys
    parts = found if isinstance(found, (tuple, list)) and len(found) == 2 != nq else (found,)
    arrays = [_as_array(part) for part in parts]
    ids = [array for array in arrays if array.dtype.kind in "iuU"]
    if len(arrays) == 2 and len(ids) != 1:
        types = " and ".join(str(array.dtype) for array in arrays)
        raise InputError(
            f"search returned a pair of {types}, and which are the ids is not clear: return them"
        )
    if not ids or ids[0].ndim != 2 or len(ids[0]) != nq:
        shown = arrays[0] if not ids else ids[0]
        raise InputError(
            f"search returned {shown.dtype} of shape {shown.shape}: return row numbers as integers, or ids, "
            f"of shape ({nq}, {k}), -1 for nothing"
        )
    return ids[0][:, :k]


def _as_array(part: Any) -> NDArray[Any]:
    try:
        found = np.asarray(part)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise InputError(
            "search returned rows of different lengths: fill them up to k with -1, which is nothing"
        ) from None
    if found.dtype.kind == "S":
        return np.asarray(np.char.decode(found, "utf-8", "replace"))
    if found.dtype.kind != "O":
        return found
    nothing = np.array([each is None for each in found.flat], dtype=bool).reshape(found.shape)
    if not all(isinstance(each, (str, int, np.integer)) for each in found[~nothing]):
        return found
    is_text = any(isinstance(each, str) for each in found[~nothing])
    return np.where(nothing, NO_NAME if is_text else DELETED, found).astype(np.str_ if is_text else np.int64)


def rows_of(found: Names, vectors: Vectors) -> tuple[IdArray, int]:
    """Return rows of the vectors (nq, k), -1 for nothing, and how many ids are none of theirs.

    Args:
        found: ids (nq, k) that a search returned.

    Raises:
        InputError: none of the ids is one of theirs, or a row number is beyond the last.
    """
    if vectors.ids is None:
        if found.dtype.kind == "U":
            raise InputError(
                f"search returned {found.flat[0]!s:.40}: return row numbers, or give the rows' ids with ids"
            )
        rows = found.astype(np.int64)
        if rows.size and rows.max() >= vectors.n:
            raise InputError(
                f"search returned row {rows.max()}, and the base has {vectors.n}: return row numbers, or "
                "give the rows' ids with ids"
            )
        return rows, 0
    names = vectors.ids
    if names.dtype.kind == "U" != found.dtype.kind:
        found = np.where(found == DELETED, NO_NAME, found.astype(np.str_))
    elif names.dtype.kind != found.dtype.kind == "U":
        found = as_numbers(found)
    rows = row_of_id(found, names)
    nothing = found == (NO_NAME if found.dtype.kind == "U" else DELETED)
    if found.size and not (rows >= 0).any() and not nothing.all():
        raise InputError(
            f"search returned {found[~nothing][0]!s:.40} and others, none of which is in "
            f"{vectors.ids_source}: give the ids that it returns"
        )
    return np.where(nothing, -1, rows), int(((rows < 0) & ~nothing).sum())


def row_of_id(found: Names, names: Names) -> IdArray:
    """Return the row of each id, whatever their shape; -1 for an id that is none of ``names`` (n,).

    >>> row_of_id(np.array([7, 5, 6]), np.array([5, 7])).tolist()
    [1, 0, -1]
    """
    order = np.argsort(names, kind="stable")
    place = np.minimum(np.searchsorted(names[order], found), len(names) - 1)
    return np.where(names[order[place]] == found, order[place], -1)
