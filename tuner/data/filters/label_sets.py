"""Labels as columns of files and databases hold them: one a row, or several, or none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.packages import package
from tuner.data.formats.wanted import TEXT, WHOLE, Wanted
from tuner.data.ids import refuse_damaged_text
from tuner.errors import InputError
from tuner.types import IdArray

Labels = NDArray[np.str_]
NUMBERS, TEXTS = (int, np.integer), (str, UUID)
HOLDS = "labels are whole numbers or text, one or a list a row"


@dataclass(frozen=True, eq=False)
class LabelSets:
    """Labels of rows. A number and the same number written as text are one label.

    Attributes:
        names: (L,) text of each label, distinct.
        codes: (t,) int64 labels of the rows, one row after the other, as places in ``names``.
        starts: (n + 1,) int64 place in ``codes`` where the labels of each row begin, and the end.
    """

    names: Labels
    codes: IdArray
    starts: IdArray

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.starts) - 1

    @property
    def counts(self) -> IdArray:
        """Number of labels (n,) of each row."""
        return np.diff(self.starts)

    def rows(self, kept: IdArray | None) -> LabelSets:
        """Return the labels of some of the rows, by number; of all for None."""
        if kept is None:
            return self
        counts = self.counts[kept]
        starts = np.concatenate([[0], np.cumsum(counts)])
        places = np.arange(starts[-1]) + np.repeat(self.starts[kept] - starts[:-1], counts)
        return replace(self, codes=self.codes[places], starts=starts)


def labels_of_array(values: NDArray[Any], named: str) -> LabelSets:
    """Return an array (n,) of integers or text as labels, one a row; empty text is none.

    Raises:
        InputError: it has another shape, or holds something else.
    """
    if values.ndim != 1:
        raise InputError(
            f"{named} has shape {values.shape}, but labels are a list, one entry a row: give several a row "
            "as a column of lists, or as a list of lists in JSON"
        )
    if values.dtype.kind == "O":
        return labels_of_values(values, named)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind not in "iuU":
        hint = "save them with x.astype('int64')" if values.dtype.kind in "fb" else "write them as text"
        raise InputError(f"{named} holds {values.dtype}, and labels are whole numbers or text: {hint}")
    refuse_damaged_text(values, named)
    names, codes = np.unique(values, return_inverse=True)
    return _sets(names.astype(np.str_), codes, np.ones(len(values), dtype=np.int64))


def labels_of_values(values: Iterable[Any], named: str) -> LabelSets:
    """Return values of Python as labels: numbers, text, lists of them, or None for a row without any.

    Raises:
        InputError: a row holds something else, or numbers stand beside text.
    """
    rows = [_listed(value) for value in values]
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    flat = list(chain.from_iterable(rows))
    kinds = set(map(type, flat))
    if bool in kinds or not (_all(kinds, NUMBERS) or _all(kinds, TEXTS)):
        raise _wrong_kind(flat, counts, named)
    places: dict[Any, int] = {}
    codes = np.fromiter((places.setdefault(each, len(places)) for each in flat), np.int64, len(flat))
    return _sets(np.array([str(each) for each in places], dtype=np.str_), codes, counts)


def labels_of_arrow(column: Any, named: str) -> LabelSets:
    """Return a column of Arrow as labels: whole numbers, text, or lists of them; nulls are none.

    Raises:
        InputError: it holds something else.
    """
    arrow, compute = (package(name, named, "a column of Arrow") for name in ("pyarrow", "pyarrow.compute"))
    column.validate(full=True)
    types, kind = arrow.types, column.type
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        counts = compute.fill_null(compute.list_value_length(column), 0).to_numpy().astype(np.int64)
        flat = compute.list_flatten(column)
    else:
        counts, flat = np.ones(len(column), dtype=np.int64), column
    if types.is_dictionary(flat.type):
        flat = flat.cast(flat.type.value_type)
    if str(flat.type) not in (*WHOLE, *TEXT):
        raise InputError(f"{named} holds {kind}, and {HOLDS}: name another, or cast it")
    if str(flat.type) not in WHOLE:
        flat = flat.cast(arrow.large_string())
    valid = compute.is_valid(flat).to_numpy()
    encoded = flat.drop_null().dictionary_encode().unify_dictionaries()
    codes = np.concatenate([[], *(chunk.indices.to_numpy() for chunk in encoded.chunks)]).astype(np.int64)
    names = encoded.chunk(0).dictionary.to_pylist() if encoded.num_chunks else []
    rows = np.repeat(np.arange(len(counts)), counts)[valid]
    return _sets(np.array([str(name) for name in names], dtype=np.str_), codes, _counted(rows, len(counts)))


def joined(parts: Sequence[LabelSets]) -> LabelSets:
    """Return the rows of several files, one after the other."""
    names = np.unique(np.concatenate([part.names for part in parts]))
    codes = np.concatenate([np.searchsorted(names, part.names)[part.codes] for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    return LabelSets(names, codes, np.concatenate([[0], np.cumsum(counts)]))


LABELS: Wanted[LabelSets] = Wanted(
    "--labels",
    "labels",
    "label",
    int | str | list[int | str | None] | None,
    True,
    labels_of_arrow,
    labels_of_array,
    labels_of_values,
    joined,
)
QUERY_LABELS = replace(LABELS, option="--query-labels")


def _sets(names: Labels, codes: IdArray, counts: IdArray) -> LabelSets:
    """Return labels without those that are empty text."""
    there = names != ""
    if not there.all():
        rows = np.repeat(np.arange(len(counts)), counts)[there[codes]]
        codes = (np.cumsum(there) - 1)[codes[there[codes]]]
        names, counts = names[there], _counted(rows, len(counts))
    return LabelSets(names, codes.astype(np.int64), np.concatenate([[0], np.cumsum(counts)]))


def _counted(rows: IdArray, n: int) -> IdArray:
    return np.bincount(rows, minlength=n).astype(np.int64)


def _listed(value: Any) -> Sequence[Any]:
    """Return the labels of a row."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [each for each in value if not _is_none(each)]
    return () if _is_none(value) else (value,)


def _is_none(value: Any) -> bool:
    """Return whether a value is none: None, NaN, or pandas' own."""
    return (
        value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"
    )


def _all(kinds: set[type], allowed: tuple[type, ...]) -> bool:
    return all(issubclass(kind, allowed) for kind in kinds)


def _wrong_kind(flat: list[Any], counts: IdArray, named: str) -> InputError:
    """Return the sentence for the first label that is none, or is of another kind than the first."""
    first = NUMBERS if isinstance(flat[0], NUMBERS) else TEXTS
    place = next(
        place for place, each in enumerate(flat) if isinstance(each, bool) or not isinstance(each, first)
    )
    row = int(np.searchsorted(np.cumsum(counts), place, side="right"))
    what = f"{named}: row {row} holds {flat[place]!r:.60}"
    if isinstance(flat[place], bool) or not isinstance(flat[place], (*NUMBERS, *TEXTS)):
        return InputError(f"{what}, and {HOLDS}: write it as text")
    return InputError(f"{what} where others hold {flat[0]!r:.60}: give numbers alone, or text alone")
