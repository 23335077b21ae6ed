"""What an engine says of searches with a filter, and what one promises that runs and has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol, runtime_checkable

from tuner.types import FloatArray, IdArray


@dataclass(frozen=True, kw_only=True)
class FilterMeans:
    """How the engine searches with a filter.

    Attributes:
        how: what it does with a filter, in words.
        ef_counts: whether ``ef_search`` counts every row that the search comes upon, or only those allowed.
        scans: how the rows that a filter allows are scanned where they are few, in words.
        cannot: what it cannot do, empty if there is nothing.
        source: what was run, or read.
    """

    how: str
    ef_counts: Literal["every row", "allowed rows"]
    scans: str
    source: str
    cannot: str = ""


@dataclass(frozen=True, eq=False)
class Tags:
    """Numbers that stand for what rows can be filtered by: each filter is one, and its rows have it.

    Attributes:
        starts: (n + 1,) int64 places in ``codes`` where the tags of each row begin, and the end.
        codes: (t,) int64 tags, one row after the other.
    """

    starts: IdArray
    codes: IdArray

    def of_rows(self, first: int, m: int) -> list[list[int]]:
        """Return the tags of ``m`` rows from ``first`` on.

        Example:
            >>> import numpy as np
            >>> Tags(np.array([0, 1, 1, 3]), np.array([4, 4, 5])).of_rows(1, 2)
            [[], [4, 5]]
        """
        starts = self.starts[first : first + m + 1].tolist()
        codes, begin = self.codes[starts[0] : starts[-1]].tolist(), starts[0]
        return [codes[low - begin : high - begin] for low, high in pairwise(starts)]


@runtime_checkable
class Filtering(Protocol):
    """A ``Running`` index whose deployment is tagged, which can be searched with a filter."""

    def tag_rows(self, tags: Tags) -> None:
        """Take the tags of all rows, before the first of them is added."""

    def search_tagged(self, query: FloatArray, k: int, tag: int, *, scan: bool) -> Sequence[int]:
        """Return up to k ids of rows with a tag, nearest first.

        Args:
            query: query (d,).
            k: neighbours asked for.
            tag: tag that they must have.
            scan: whether the engine is to scan the rows that have it, as far as that is the query's to say.
        """
        raise NotImplementedError

    def answers_from_index(self, tag: int, *, scan: bool) -> bool | None:
        """Return whether the engine's plan of such a search names the index; None if it shows no plan."""
