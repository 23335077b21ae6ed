"""Rows that hold the same vector bit for bit: one of them stands for all, and is found for all.

The list that says so lies beside an index of the distinct rows as ``copies.npy``: (m, 2) int64, in each line
an id that the index answers with and the id of a row equal to it that the index does not hold, ascending by
the first.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuner.data.formats.npy import open_npy
from tuner.data.vectors import Vectors, in_order_seen, row_groups
from tuner.errors import InputError
from tuner.runtime.journal import write_atomically
from tuner.runtime.steps import result_of
from tuner.types import IdArray, Steps

COPIES_FILE = "copies.npy"
HEADER_BYTES, LINE_BYTES = 128, 16
BLOCK_BYTES = 8 << 20
MEND = "deliver it again together with its index"


@dataclass(frozen=True)
class Copies:
    """Rows by the vectors that they hold.

    Attributes:
        first: (m,) row that stands for each distinct vector, ascending.
        members: (n,) rows, those of one vector together in the order of ``first``, which comes first.
        starts: (m + 1,) place in ``members`` at which each vector's rows start, and n.
    """

    first: IdArray
    members: IdArray
    starts: IdArray

    @property
    def n_copies(self) -> int:
        """Rows that repeat an earlier one."""
        return len(self.members) - len(self.first)

    @property
    def weights(self) -> IdArray:
        """Number of rows (m,) that each vector stands for."""
        return np.diff(self.starts)

    @property
    def numbers(self) -> IdArray:
        """Number of the vector of each row of the file up to the last of these, -1 of others."""
        out = np.full(1 + int(self.members.max()), -1, dtype=np.int64)
        out[self.members] = np.repeat(np.arange(len(self.first)), self.weights)
        return out

    def expanded(self, found: IdArray, k: int) -> IdArray:
        """Return the first k rows (nq, k) that distinct vectors (nq, m) stand for, -1 after the last.

        Example:
            >>> copies = Copies(np.array([0, 1]), np.array([0, 2, 1]), np.array([0, 2, 3]))
            >>> copies.expanded(np.array([[1, 0]]), 4)
            array([[ 1,  0,  2, -1]])
        """
        out = np.full((len(found), k), -1, dtype=np.int64)
        for mine, vectors in zip(out, found.tolist(), strict=True):
            rows = np.concatenate([self._rows(vector, k) for vector in vectors])[:k]
            mine[: len(rows)] = rows
        return out

    def _rows(self, vector: int, k: int) -> IdArray:
        """Return at most k rows of a vector; none of -1, which stands for no answer."""
        if vector < 0:
            return self.members[:0]
        return self.members[self.starts[vector] : min(self.starts[vector + 1], self.starts[vector] + k)]

    def pairs(self, names: IdArray | None) -> IdArray:
        """Return the list (m, 2) of ids of first rows beside those of their copies, ascending by the first.

        Args:
            names: id of each row of the file, None where it is the row.
        """
        weights = self.weights
        repeats = np.ones(len(self.members), dtype=bool)
        repeats[self.starts[:-1]] = False
        found = np.column_stack([np.repeat(self.first, weights), self.members])[repeats]
        return by_first(found if names is None else names[found])


def by_first(pairs: IdArray) -> IdArray:
    """Return a list (m, 2) ascending by its first column, copies of one row in the order that they have."""
    ordered: IdArray = pairs[np.argsort(pairs[:, 0], kind="stable")].astype(np.int64)
    return ordered


def list_bytes(n_copies: int) -> int:
    """Return the bytes of the list of so many copies."""
    return HEADER_BYTES + LINE_BYTES * n_copies


def groups_of(vectors: Vectors, rows: IdArray | None = None) -> Steps[IdArray]:
    """Yield the share done; return the number (n,) of the vector that each row holds, compared bit for bit.

    Args:
        rows: rows to look at, None for all.
    """
    chosen = np.arange(vectors.n) if rows is None else rows
    step = max(256, BLOCK_BYTES // (4 * vectors.d))
    group = row_groups(vectors.rows(chosen[at : at + step]) for at in range(0, len(chosen), step))
    yield 0.5
    _, first = np.unique(group, return_index=True)
    repeats = np.flatnonzero(first[group] != np.arange(len(group)))
    unlike = [repeats[:0]]
    for start in range(0, len(repeats), step):
        part = repeats[start : start + step]
        mine, theirs = (vectors.rows(chosen[each]).view(np.int32) for each in (part, first[group[part]]))
        unlike.append(part[(mine != theirs).any(axis=1)])
        yield 0.5 + 0.5 * (start + len(part)) / len(repeats)
    strange = np.concatenate(unlike)
    if not len(strange):
        return group
    by_bytes: dict[bytes, int] = {}  # rows of one hash that are not equal
    for place in strange:
        key = vectors.rows(chosen[[place]]).tobytes()
        group[place] = by_bytes.setdefault(key, len(first) + len(by_bytes))
    return in_order_seen(group)


def copies_of(group: IdArray, rows: IdArray) -> Copies:
    """Return some rows of a file by the vectors that they hold.

    Args:
        group: (n,) number of the vector that each row of the file holds.
        rows: the rows, ascending.
    """
    mine = in_order_seen(group[rows])
    starts = np.concatenate([[0], np.cumsum(np.bincount(mine))]).astype(np.int64)
    members = rows[np.argsort(mine, kind="stable")]
    return Copies(members[starts[:-1]], members, starts)


def copies_among(vectors: Vectors, rows: IdArray | None) -> Copies:
    """Return positions among the rows (all if None) by the vectors that they hold, bit for bit."""
    group = result_of(groups_of(vectors, rows))
    return copies_of(group, np.arange(len(group)))


def with_copies(pairs: IdArray, ids: IdArray, k: int) -> tuple[IdArray, IdArray]:
    """Return the ids (nq, k) with the copies of each answer behind it, and the place of the answer of each.

    Args:
        pairs: (m, 2) list of copies.
        ids: (nq, >= k) ids that an index found; -1, which stands for no answer, stays.

    Example:
        >>> with_copies(np.array([[4, 7], [4, 9]]), np.array([[4, 2, -1]]), 3)[0].tolist()
        [[4, 7, 9]]
    """
    first, last = (np.searchsorted(pairs[:, 0], ids[:, :k], side) for side in ("left", "right"))
    rows, places = np.empty((len(ids), k), dtype=np.int64), np.empty((len(ids), k), dtype=np.int64)
    for number, (begin, end) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        answers = [[own, *pairs[a:b, 1]] for own, a, b in zip(ids[number, :k], begin, end, strict=True)]
        rows[number] = np.concatenate(answers)[:k]
        places[number] = np.repeat(np.arange(k), [len(each) for each in answers])[:k]
    return rows, places


def write_copies(pairs: IdArray, path: Path) -> None:
    """Write the list of an index, whole or not at all."""
    file = io.BytesIO()
    np.save(file, pairs, allow_pickle=False)
    write_atomically(path, file.getvalue())


def read_copies(path: Path) -> IdArray:
    """Return the list (m, 2) that lies beside an index.

    Raises:
        InputError: it is missing, damaged, or no such list.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: is missing, and without it the rows that repeat another are not found: {MEND}"
        )
    found = open_npy(path, str(path)).whole()
    if found.dtype != np.int64 or found.ndim != 2 or found.shape[1] != 2:
        raise InputError(
            f"{path}: holds {found.dtype} of shape {found.shape}, and a list of copies int64 (m, 2): {MEND}"
        )
    if (found[1:, 0] < found[:-1, 0]).any():
        raise InputError(f"{path}: is not in the order of its first column: {MEND}")
    return found
