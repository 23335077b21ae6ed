"""Rows that queries may be answered with, as a test has them: ids or a mask, for all queries or for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tuner.data.answers import row_of_id
from tuner.data.filters.fixed import distinct, n_in_file, refuse_many_bits
from tuner.data.ids import as_numbers
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.recall.allowed import Filters
from tuner.text import counted
from tuner.types import IdArray

AllowedSource: TypeAlias = Sequence[Any] | NDArray[Any]
"""Ids (m,) or a mask (n,) for all queries; a list of ids for each query, or a mask (nq, n)."""
NAME = "allowed"
FORM = (
    "give ids, or one list of ids for each query, or whether each row is allowed as booleans (n,) or (nq, n)"
)
PLAIN = (str, int, np.integer)


def by_rows(allowed: AllowedSource, base: Vectors, nq: int) -> Filters:
    """Return the filters of ``nq`` queries over the rows of ``base``.

    Args:
        allowed: what the queries may be answered with. Ids are row numbers where the base has no ids.

    Raises:
        InputError: it is nothing of the kind, has another number of queries or rows, or names unknown ids.
        ResourceError: there are too many different filters.
    """
    lists, one_for_all = _lists(allowed, base)
    if not one_for_all and len(lists) != nq:
        raise InputError(
            f"{NAME} has {counted(len(lists), 'filter')}, and there are {counted(nq, 'query', 'queries')}: "
            "give one for each, in their order, or one for all"
        )
    different, of_query = distinct(np.unique(each) for each in lists)
    refuse_many_bits(len(different), base.n, NAME)
    of_query = np.zeros(nq, dtype=np.int64) if one_for_all else of_query
    return Filters.of_rows(different, of_query, base.n, NAME)


def refuse_fewer_than(k: int, filters: Filters) -> None:
    """Raise InputError if the filter of a query allows fewer than k rows."""
    counts = filters.counts[filters.of_query]
    few = np.flatnonzero(counts < k)
    if len(few):
        raise InputError(
            f"{filters.source}: query {few[0]} may be answered with {counted(int(counts[few[0]]), 'row')}, "
            f"fewer than k={k} ({counted(len(few), 'query', 'queries')} of {len(counts):,} have such a "
            "filter): give a smaller k, or leave such queries out"
        )


def _lists(allowed: AllowedSource, base: Vectors) -> tuple[list[IdArray], bool]:
    """Return the rows of each filter, and whether there is one for all queries."""
    if isinstance(allowed, np.ndarray) and allowed.dtype.kind == "b":
        return _of_mask(allowed, base)
    if isinstance(allowed, (str, bytes)) or not hasattr(allowed, "__len__"):
        raise InputError(f"{NAME} is a {type(allowed).__name__}: {FORM}")
    if len(allowed) and isinstance(allowed[0], PLAIN) and not isinstance(allowed[0], bool):
        return _known([allowed], base), True
    if not all(hasattr(each, "__len__") and not isinstance(each, (str, bytes)) for each in allowed):
        raise InputError(f"{NAME} holds {type(allowed[0]).__name__}: {FORM}")
    masks = [isinstance(each, np.ndarray) and each.dtype.kind == "b" for each in allowed]
    if any(masks) or not len(allowed):
        raise InputError(f"{NAME} is no list of ids: {FORM}")
    return _known(list(allowed), base), False


def _of_mask(mask: NDArray[np.bool_], base: Vectors) -> tuple[list[IdArray], bool]:
    n = n_in_file(base)
    if mask.ndim not in (1, 2) or mask.shape[-1] != n:
        raise InputError(
            f"{NAME} has shape {mask.shape}, and the base has {counted(n, 'row')}: give whether each of them "
            f"is allowed, ({n},) or (nq, {n})"
        )
    kept = mask if base.kept is None else mask[..., base.kept]
    return [np.flatnonzero(each) for each in np.atleast_2d(kept)], mask.ndim == 1


def _known(lists: Sequence[Any], base: Vectors) -> list[IdArray]:
    """Return the rows of ids, all of which the base has."""
    ends = np.cumsum([len(each) for each in lists])
    found = np.array([one for each in lists for one in each])
    if not len(found):
        return [np.zeros(0, dtype=np.int64) for _ in lists]
    if base.ids is None:
        if found.dtype.kind not in "iu":
            raise InputError(f"{NAME} holds {found.flat[0]!r:.40}, and the rows have no ids: {FORM}")
        rows = np.where((found >= 0) & (found < base.n), found, -1).astype(np.int64)
    else:
        if found.dtype.kind not in "iuU":
            raise InputError(f"{NAME} holds {found.dtype}, and ids are whole numbers or text: {FORM}")
        if base.ids.dtype.kind == "U" != found.dtype.kind:
            found = found.astype(np.str_)
        elif base.ids.dtype.kind != found.dtype.kind == "U":
            found = as_numbers(found)
        rows = row_of_id(found, base.ids)
    if (rows < 0).any():
        unknown, of = found[rows < 0][0], "row numbers" if base.ids is None else base.ids_source
        raise InputError(f"{NAME} holds {unknown!s:.40}, which is none of the {base.n:,} {of}: correct it")
    return np.split(rows, ends[:-1])
