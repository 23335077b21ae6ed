"""Which rows of a file a base is made of: not those held out, nor those without direction, nor copies."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

import numpy as np

from tuner.data.copies import Copies, copies_of, groups_of
from tuner.data.vectors import Vectors
from tuner.runtime.journal import Journal
from tuner.sweep.problem import Problem
from tuner.types import Collapsed, Event, IdArray, Note, Options, Profile

NO_ROWS: IdArray = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class RowsIndexed:
    """Rows of a file that a base is made of.

    Attributes:
        left_out: rows that are no rows of the base, ascending.
        added: number of them that become nodes of the index handed over.
        copies: rows of the file that each row of the base stands for; None where that is one.
        answers: number of rows of the file that the index handed over answers with.
    """

    left_out: IdArray
    added: int
    copies: Copies | None
    answers: int


def rows_indexed(
    n: int, nowhere: IdArray, held_out: IdArray, groups: IdArray | None, *, put_back: bool
) -> RowsIndexed:
    """Return the rows of a base.

    Args:
        n: number of rows of the file.
        nowhere: rows that no index holds, ascending.
        held_out: rows that are queries, ascending.
        groups: (n,) number of the vector that each row holds, None where each has a node of its own.
        put_back: whether the index handed over holds the held-out rows too.
    """
    missing = np.union1d(held_out, nowhere)
    added = len(held_out) if put_back else 0
    answers = n - len(missing) + added
    if groups is None:
        return RowsIndexed(missing, added, None, answers)
    kept = np.delete(np.arange(n), missing)
    copies = copies_of(groups, kept)
    if put_back:
        added = len(np.unique(np.delete(groups, nowhere))) - len(copies.first)
    return RowsIndexed(np.delete(np.arange(n), copies.first), added, copies, answers)


def groups_among(
    journal: Journal, base: Vectors, profile: Profile, nowhere: IdArray, options: Options
) -> Generator[Event, None, IdArray | None]:
    """Yield events; return the number (n,) of the vector that each row holds; None to keep all rows apart.

    Args:
        nowhere: rows that no index holds, ascending.
    """
    if options.duplicates == "keep":
        return None
    if profile.n_duplicate_rows:
        groups = yield from journal.stage(
            "groups", "compare the rows that repeat", IdArray, partial(groups_of, base)
        )
        left = np.delete(groups, nowhere)
        if len(np.unique(left)) < len(left):
            return groups
    yield Note("no row repeats another: nothing is collapsed, and no list of copies is written")
    return None


def collapsed_of(problem: Problem) -> Collapsed | None:
    """Return what was collapsed, None where each row has a node of its own."""
    base = problem.base
    if base.copies is None:
        return None
    return Collapsed(
        n_distinct=base.n_delivered,
        n_copies=base.n_answers - base.n_delivered,
        n_measured_on=base.n,
        distinct_per_query=float(problem.truth.n_distinct.mean()) if problem.n_queries else 0.0,
    )
