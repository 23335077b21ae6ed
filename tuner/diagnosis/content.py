"""What an index really holds, position by position, beside the user's file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.vectors import row_hashes
from tuner.diagnosis.opened import IndexUnderTest, back_through, through
from tuner.diagnosis.questions import Questions
from tuner.types import FloatArray, IdArray, Steps

SAME, STALE, MOVED, SCALED, FOREIGN = range(5)
"""What a position holds: its row; another vector; another row of the file; its row at another length; an id
that is no row of the file."""
SAMPLE = 1_000
BLOCK_BYTES = 4 << 20
CHANGED = 0.02
"""Of a vector's length: codes that decode no farther apart are of the same vector."""
WORSE = 1.5
"""Times the codec's own error: a code that is no farther from the row may be of it."""
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
        normalised: the vectors in the index have length 1 while the file's have not.
        vectors: (n, d) float32 what the positions hold, as the index takes it, mapped from a file.
    """

    rows: IdArray
    state: NDArray[np.int8]
    moved_to: IdArray
    missing: IdArray
    n_repeated: int
    normalised: bool
    vectors: FloatArray

    def n_of(self, state: int) -> int:
        """Return the positions in a state."""
        return int((self.state == state).sum())


class StoredVectors:
    """The vectors of an index as its storage sees them: of the re-ranking store, where there is one."""

    def __init__(self, opened: IndexUnderTest) -> None:
        self.opened = opened
        self.chain, self.storage = opened.chain, opened.storage
        if opened.store is not None:
            self.chain, self.storage = opened.store
        self.starts = np.zeros(1, dtype=np.int64)
        if isinstance(self.storage, faiss.IndexIVF):
            lists = self.storage.invlists
            sizes = [lists.list_size(number) for number in range(self.storage.nlist)]
            self.starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)

    def at(self, positions: IdArray) -> FloatArray:
        """Return what is held at positions, decoded."""
        if isinstance(self.storage, faiss.IndexIVF):
            lists = np.searchsorted(self.starts, positions, side="right") - 1
            offsets = positions - self.starts[lists]
            out = np.empty((len(positions), self.storage.d), dtype=np.float32)
            for number, (each, offset) in enumerate(zip(lists.tolist(), offsets.tolist(), strict=True)):
                self.storage.reconstruct_from_offset(each, offset, faiss.swig_ptr(out[number]))
            return out
        decoded: FloatArray = self.storage.reconstruct_batch(positions)
        return decoded

    def again(self, x: FloatArray) -> FloatArray:
        """Return rows encoded by the trained codec and decoded."""
        seen = through(self.chain, x)
        decoded: FloatArray = self.storage.sa_decode(self.storage.sa_encode(seen))
        return decoded

    @property
    def is_slow(self) -> bool:
        """Whether encoding searches for each row's scale."""
        return hasattr(self.storage, "rabitq") and self.storage.rabitq.nb_bits > 1


def look(questions: Questions, opened: IndexUnderTest, work: Path) -> Steps[Content]:
    """Yield the share done; return what the index holds.

    Vectors of the file are encoded as the index would, and both codes are decoded and compared, so that
    what the codec loses is not taken for another vector.
    """
    base, held = questions.problem.base, StoredVectors(opened)
    rows = questions.rows_of(opened.ids)
    present = np.zeros(base.n, dtype=bool)
    present[rows[rows >= 0]] = True
    known = np.flatnonzero(rows >= 0)
    _, first = np.unique(rows[known], return_index=True)
    state = np.full(opened.n, FOREIGN, dtype=np.int8)
    normalised, typical = _form(questions, held, rows, known)
    step = max(256, BLOCK_BYTES // (4 * opened.d))
    for start in range(0, len(known), step):
        part = known[start : start + step]
        x = questions.in_form(rows[part], normalised=normalised)
        at = held.at(part)
        found = compared(held, x, at, typical)
        doubted = np.flatnonzero(found != SAME)
        if held.is_slow and len(doubted):  # by the codec's usual error alone: encode these again
            found[doubted] = compared(held, x[doubted], at[doubted], typical, exactly=True)
        state[part] = found
        base.release()
        yield 0.6 * (start + len(part)) / max(1, len(known))
    moved_to = np.full(opened.n, -1, dtype=np.int64)
    changed = np.flatnonzero((state == STALE) | (state == FOREIGN))
    if len(changed) > FEW_CHANGED:
        moved_to[changed] = _found_elsewhere(questions, held, changed, normalised=normalised)
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
    )
    return replace(content, vectors=(yield from _written(questions, held, content, work / "content.f32")))


def _form(questions: Questions, held: StoredVectors, rows: IdArray, known: IdArray) -> tuple[bool, float]:
    """Return whether the index holds normalised rows, and the codec's typical error as a share."""
    sample = np.sort(np.random.default_rng(0).choice(known, min(SAMPLE, len(known)), replace=False))
    at = held.at(sample)
    same, errors = {}, {}
    for normalised in (False, True):
        x = questions.in_form(rows[sample], normalised=normalised)
        seen, again = through(held.chain, x), held.again(x)
        errors[normalised] = float(np.quantile(_length(again - seen) / _length(seen), NEARLY_ALL))
        same[normalised] = float((compared(held, x, at, errors[normalised], exactly=True) == SAME).mean())
    # where both fit, the index normalises by itself, or the file's rows have length 1
    normalised = same[True] > same[False]
    return normalised, errors[normalised]


@np.errstate(invalid="ignore")
def compared(
    held: StoredVectors, x: FloatArray, at: FloatArray, typical: float, *, exactly: bool = False
) -> NDArray[np.int8]:
    """Return the state of positions that should hold rows ``x`` and hold codes that decode to ``at``.

    Args:
        typical: error of nearly all codes as a share of the length, used where encoding is slow.
        exactly: encode also where that is slow.

    What is not finite is the same as nothing.
    """
    seen = through(held.chain, x)
    length = _length(seen)
    off = _length(at - seen)
    if held.is_slow and not exactly:
        own_error = typical * length
        same = off <= own_error + CHANGED * length
    else:
        again = held.again(x)
        own_error = _length(again - seen)
        same = (_length(at - again) <= CHANGED * length) | (off <= WORSE * own_error + CHANGED / 2 * length)
    turned = _length(at / _length(at)[:, None] - seen / length[:, None])
    scaled = ~same & (turned <= WORSE * own_error / length + CHANGED)
    return np.where(scaled, SCALED, np.where(same, SAME, STALE)).astype(np.int8)


@np.errstate(over="ignore")
def _length(x: FloatArray) -> FloatArray:
    length: FloatArray = np.linalg.norm(x, axis=1) + np.finfo(np.float32).tiny
    return length


def _found_elsewhere(
    questions: Questions, held: StoredVectors, changed: IdArray, *, normalised: bool
) -> IdArray:
    """Return the row whose vector each changed position holds, -1 where none does.

    A sample is looked for by distance first; all of them are looked up by their codes only if that finds
    most of the sample.
    """
    base = questions.problem.base
    chosen = np.sort(np.random.default_rng(1).choice(changed, min(LOOKED_UP, len(changed)), replace=False))
    targets = held.at(chosen)
    heap = faiss.ResultHeap(len(chosen), 1, keep_max=False)
    hashes = np.empty(base.n, dtype=np.int64)
    step = max(256, BLOCK_BYTES // (4 * base.d))
    for start in range(0, base.n, step):
        rows = np.arange(start, min(base.n, start + step))
        again = held.again(questions.in_form(rows, normalised=normalised))
        distances, ids = faiss.knn(targets, again, 1)
        heap.add_result(distances, ids + start)
        hashes[rows] = row_hashes(again)
        base.release()
    heap.finalize()
    near = heap.D[:, 0] <= (CHANGED * _length(targets)) ** 2
    found = np.full(len(changed), -1, dtype=np.int64)
    if near.mean() < 0.5:
        return found
    mine = np.empty(len(changed), dtype=np.int64)
    for start in range(0, len(changed), step):
        mine[start : start + step] = row_hashes(held.at(changed[start : start + step]))
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


def _written(questions: Questions, held: StoredVectors, content: Content, path: Path) -> Steps[FloatArray]:
    """Write what the positions hold, as the index takes it; exact where it is a row of the file."""
    n, d = len(content.rows), held.opened.d
    step = max(256, BLOCK_BYTES // (4 * d))
    source = np.where(content.state == SAME, content.rows, content.moved_to)
    with path.open("wb") as out:
        for start in range(0, n, step):
            part = np.arange(start, min(n, start + step))
            block = questions.in_form(np.maximum(source[part], 0), normalised=content.normalised)
            other = source[part] < 0
            if other.any():
                block[other] = back_through(held.chain, held.at(part[other]))
            block.tofile(out)
            yield 0.8 + 0.2 * (start + len(part)) / n
    questions.problem.base.release()
    return np.memmap(path, dtype=np.float32, mode="r", shape=(n, d))
