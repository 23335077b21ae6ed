"""What an index really holds, position by position, beside the user's file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.vectors import row_hashes
from tuner.diagnosis.questions import Questions
from tuner.index.layers import back_through
from tuner.index.opened import IndexUnderTest
from tuner.index.stored import CHANGED, Comparison, StoredVectors, compare, length, stored_best
from tuner.types import FloatArray, IdArray, Steps

SAME, STALE, MOVED, SCALED, FOREIGN = range(5)
"""What a position holds: its row; another vector; another row of the file; its row at another length; an id
that is no row of the file."""
SAMPLE = 1_000
BLOCK_BYTES = 4 << 20
NEARLY_ALL = 0.999
FEW_CHANGED = 5
LOOKED_UP = 256
"""Changed vectors that are looked for among all rows."""


@dataclass(frozen=True)
class Content:
    """What the positions of an index hold.

    Attributes:
        rows: (n,) prepared row of each position, -1 for ids that are no row.
        state: (n,) int8, one of ``SAME`` to ``FOREIGN``.
        moved_to: (n,) row whose vector a ``MOVED`` position holds, else -1.
        missing: rows of the prepared base that no position stands for, ascending.
        n_repeated: positions whose row stands at an earlier position too.
        normalised: whether the vectors in the index have length 1 while the file's have not.
        vectors: (n, d) float32 vectors that the positions hold, as the index takes them, mapped from a file.
        copies: (m, 2) prepared rows, each beside one equal to it that is in no position; None without any.
    """

    rows: IdArray
    state: NDArray[np.int8]
    moved_to: IdArray
    missing: IdArray
    n_repeated: int
    normalised: bool
    vectors: FloatArray
    copies: IdArray | None = None

    def at_unit_length(self, path: Path) -> FloatArray:
        """Return the vectors that the positions hold at length 1, (n, d) float32, mapped from a file.

        Args:
            path: scratch file to write.
        """
        if self.normalised:
            return self.vectors
        n, d = self.vectors.shape
        step = max(256, BLOCK_BYTES // (4 * d))
        with path.open("wb") as out:
            for start in range(0, n, step):
                out.write(np.ascontiguousarray(unit(self.vectors[start : start + step])).data)
        return np.memmap(path, dtype=np.float32, mode="r", shape=(n, d))

    def n_of(self, state: int) -> int:
        """Return the positions in a state."""
        return int((self.state == state).sum())


@np.errstate(invalid="ignore", over="ignore")
def unit(x: FloatArray) -> FloatArray:
    """Return rows (m, d) at length 1."""
    scaled: FloatArray = x / (np.linalg.norm(x, axis=1, keepdims=True) + np.finfo(np.float32).tiny)
    return scaled


def inspect_content(questions: Questions, opened: IndexUnderTest, work: Path) -> Steps[Content]:
    """Yield the share done; return what the index holds."""
    base = questions.problem.base
    stored = stored_best(opened, base.radius)
    rows = questions.rows_of(opened.ids)
    present = np.zeros(base.n, dtype=bool)
    present[rows[rows >= 0]] = True
    copies = None
    if opened.copies is not None:
        copies = questions.rows_of(opened.copies)
        copies = copies[(copies >= 0).all(axis=1)]  # but queries that are held out
        present[copies[:, 1]] = True
    known = np.flatnonzero(rows >= 0)
    _, first = np.unique(rows[known], return_index=True)
    state = np.full(opened.n, FOREIGN, dtype=np.int8)
    state[(rows < 0) & (opened.ids >= 0) & (opened.ids < questions.vectors.n)] = (
        SAME  # zero rows: nothing is lost
    )
    normalised, typical = _form(questions, stored, rows, known)
    step = max(256, BLOCK_BYTES // (4 * opened.d))
    for start in range(0, len(known), step):
        part = known[start : start + step]
        x = questions.in_form(rows[part], normalised=normalised)
        at = stored.at(part)
        found = _states(compare(stored, x, at, typical if stored.is_slow else None))
        doubted = np.flatnonzero(found != SAME)
        if stored.is_slow and len(doubted):  # by the codec's usual error alone: encode these again
            found[doubted] = _states(compare(stored, x[doubted], at[doubted]))
        state[part] = found
        base.release()
        yield 0.6 * (start + len(part)) / max(1, len(known))
    moved_to = np.full(opened.n, -1, dtype=np.int64)
    changed = np.flatnonzero((state == STALE) | (state == FOREIGN))
    if len(changed) > FEW_CHANGED:
        moved_to[changed] = _found_elsewhere(questions, stored, changed, normalised=normalised)
        state[(moved_to >= 0) & (state == STALE)] = MOVED
    yield 0.8
    content = Content(
        rows=rows,
        state=state,
        moved_to=moved_to,
        missing=np.flatnonzero(~present),
        n_repeated=len(known) - len(first),
        normalised=normalised,
        vectors=np.zeros((0, opened.d), dtype=np.float32),
        copies=copies,
    )
    return replace(content, vectors=(yield from _written(questions, stored, content, work / "content.f32")))


def _form(questions: Questions, stored: StoredVectors, rows: IdArray, known: IdArray) -> tuple[bool, float]:
    """Return whether the index holds normalised rows, and the codec's typical error as a share."""
    sample = np.sort(np.random.default_rng(0).choice(known, min(SAMPLE, len(known)), replace=False))
    at = stored.at(sample)
    same, errors = {}, {}
    for normalised in (False, True):
        x = questions.in_form(rows[sample], normalised=normalised)
        seen = stored.seen(x)
        errors[normalised] = float(
            np.quantile(length(stored.decoded(seen) - seen) / length(seen), NEARLY_ALL)
        )
        same[normalised] = float(compare(stored, x, at).same_vector.mean())
    # where both fit, the index normalises by itself, or the file's rows have length 1
    normalised = same[True] > same[False]
    return normalised, errors[normalised]


def _states(found: Comparison) -> NDArray[np.int8]:
    """Return the state of positions that should hold rows: ``SAME``, ``SCALED`` or ``STALE``."""
    return np.where(found.same_vector, SAME, np.where(found.scaled, SCALED, STALE)).astype(np.int8)


def _found_elsewhere(
    questions: Questions, stored: StoredVectors, changed: IdArray, *, normalised: bool
) -> IdArray:
    """Return the row whose vector each changed position holds, -1 where none does.

    A sample is looked for by distance first; all of them are looked up by their codes only if that finds
    most of the sample.
    """
    base = questions.problem.base
    chosen = np.sort(np.random.default_rng(1).choice(changed, min(LOOKED_UP, len(changed)), replace=False))
    targets = stored.at(chosen)
    heap = faiss.ResultHeap(len(chosen), 1, keep_max=False)
    hashes = np.empty(base.n, dtype=np.int64)
    step = max(256, BLOCK_BYTES // (4 * base.d))
    for start in range(0, base.n, step):
        rows = np.arange(start, min(base.n, start + step))
        again = stored.again(questions.in_form(rows, normalised=normalised))
        distances, ids = faiss.knn(targets, again, 1)
        heap.add_result(distances, ids + start)
        hashes[rows] = row_hashes(again)
        base.release()
    heap.finalize()
    near = heap.D[:, 0] <= (CHANGED * length(targets)) ** 2
    found = np.full(len(changed), -1, dtype=np.int64)
    if near.mean() < 0.5:
        return found
    mine = np.empty(len(changed), dtype=np.int64)
    for start in range(0, len(changed), step):
        mine[start : start + step] = row_hashes(stored.at(changed[start : start + step]))
    order = np.argsort(hashes, kind="stable")
    first = np.searchsorted(hashes[order], mine, side="left")
    copies = np.searchsorted(hashes[order], mine, side="right") - first
    there = copies > 0
    # each copy of a vector gets a row of its own, or ids would repeat
    found[there] = order[first[there] + _occurrence(mine)[there] % copies[there]]
    sampled = np.searchsorted(changed, chosen[near])
    found[sampled] = np.where(found[sampled] < 0, heap.I[near, 0], found[sampled])
    return found


def _occurrence(values: IdArray) -> IdArray:
    """Return of each value how many equal ones stand before it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    rank = np.arange(len(values)) - np.repeat(starts, np.diff(np.append(starts, len(values))))
    out = np.empty_like(rank)
    out[order] = rank
    return out


def _written(questions: Questions, stored: StoredVectors, content: Content, path: Path) -> Steps[FloatArray]:
    """Write what the positions hold, as the index takes it; exact where it is a row of the file."""
    n, d = len(content.rows), content.vectors.shape[1]
    step = max(256, BLOCK_BYTES // (4 * d))
    source = np.where(content.state == SAME, content.rows, content.moved_to)
    with path.open("wb") as out:
        for start in range(0, n, step):
            part = np.arange(start, min(n, start + step))
            block = questions.in_form(np.maximum(source[part], 0), normalised=content.normalised)
            other = source[part] < 0
            if other.any():
                block[other] = back_through(stored.chain, stored.at(part[other]))
            out.write(np.ascontiguousarray(block).data)
            yield 0.8 + 0.2 * (start + len(part)) / n
    questions.problem.base.release()
    return np.memmap(path, dtype=np.float32, mode="r", shape=(n, d))
