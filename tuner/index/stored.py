"""Vectors that an index really holds, decoded, and whether they are those of the user's file.

Rows of the file are encoded as the index would, and both codes are decoded and compared, so that what the
codec loses is not taken for another vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.index.layers import through, widens
from tuner.index.opened import IndexUnderTest
from tuner.types import FloatArray, IdArray

CHANGED = 0.02
"""Share of a vector's length: codes that decode no farther apart are of the same vector."""
WORSE = 1.5
"""Multiple of the codec's own error: a code that is no farther from the row may be of it."""


@dataclass(frozen=True)
class StoredVectors:
    """Vectors of an index as one of its storages sees them.

    Attributes:
        chain: transforms from a vector to the storage.
        storage: codes of a graph, of lists, or of a re-ranking store.
        radius: length of the longest row where the index turns inner products into distances by one more
            column, which a row does not have; else 0.
        starts: (nlist,) position at which each list starts; one zero without lists.
    """

    chain: list[faiss.VectorTransform]
    storage: faiss.Index
    radius: float
    starts: IdArray

    def at(self, positions: IdArray) -> FloatArray:
        """Return what is held at positions, decoded."""
        if isinstance(self.storage, faiss.IndexIVF):
            lists = np.searchsorted(self.starts, positions, side="right") - 1
            offsets = positions - self.starts[lists]
            out = np.empty((len(positions), self.storage.d), dtype=np.float32)
            for number, (each, offset) in enumerate(zip(lists.tolist(), offsets.tolist(), strict=True)):
                self.storage.reconstruct_from_offset(each, offset, faiss.swig_ptr(out[number]))
            return out
        return reconstructed(self.storage, positions)

    def seen(self, x: FloatArray) -> FloatArray:
        """Return rows (m, d) as the storage sees them before it encodes them."""
        if not (self.radius and widens(self.chain)):
            return through(self.chain, x)
        return through(self.chain[1:], widened(x, self.radius))

    def again(self, x: FloatArray) -> FloatArray:
        """Return rows encoded by the trained codec and decoded."""
        return self.decoded(self.seen(x))

    def decoded(self, seen: FloatArray) -> FloatArray:
        """Return what is left of rows, as the storage sees them, in their codes."""
        return _what_codes_keep(self.storage, self.storage.sa_decode(self.storage.sa_encode(seen)))

    @property
    def n_bits(self) -> int:
        """Bits of a code that keeps signs alone, and so neither length nor place; 0 for other codes."""
        return int(self.storage.nbits) if isinstance(self.storage, faiss.IndexLSH) else 0

    @property
    def is_slow(self) -> bool:
        """Whether encoding searches for each row's scale."""
        return hasattr(self.storage, "rabitq") and self.storage.rabitq.nb_bits > 1


def reconstructed(storage: faiss.Index, positions: IdArray) -> FloatArray:
    """Return what a storage holds at positions (m,), decoded, (m, d) float32."""
    return _what_codes_keep(storage, storage.reconstruct_batch(positions))


def _what_codes_keep(storage: faiss.Index, decoded: FloatArray) -> FloatArray:
    """Return decoded vectors, 0 in the columns of which codes keep nothing.

    LSH that does not rotate keeps the first ``nbits`` columns; in the others faiss 1.15.1 leaves what was in
    memory.
    """
    if isinstance(storage, faiss.IndexLSH) and not storage.rotate_data:
        decoded[:, storage.nbits :] = 0
    return decoded


def widened(x: FloatArray, radius: float) -> FloatArray:
    """Return rows (m, d + 1) with the column that turns inner products into distances.

    Args:
        radius: length of the longest row of the file.

    Example:
        >>> widened(np.array([[3, 4], [0, 3]], dtype=np.float32), 5.0).tolist()
        [[3.0, 4.0, 0.0], [0.0, 3.0, 4.0]]
    """
    squared = np.einsum("md,md->m", x, x, dtype=np.float64)
    last = np.sqrt(np.maximum(radius**2 - squared, 0)).astype(np.float32)
    return np.hstack([x, last[:, None]])


def stored_codes(opened: IndexUnderTest, radius: float = 0.0) -> StoredVectors:
    """Return the vectors that a search walks over: the codes of the graph or of the lists."""
    return _stored(opened.chain, opened.storage, radius)


def stored_best(opened: IndexUnderTest, radius: float = 0.0) -> StoredVectors:
    """Return the vectors that answers are ranked by: of the re-ranking store, where there is one."""
    return stored_codes(opened, radius) if opened.store is None else _stored(*opened.store, radius)


def _stored(chain: list[faiss.VectorTransform], storage: faiss.Index, radius: float) -> StoredVectors:
    starts = np.zeros(1, dtype=np.int64)
    if isinstance(storage, faiss.IndexIVFPQFastScan):
        storage.fine_quantizer = storage.pq  # by which it decodes, and which it does not read from a file
    if isinstance(storage, faiss.IndexIVF):
        sizes = [storage.invlists.list_size(number) for number in range(storage.nlist)]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    return StoredVectors(chain, storage, radius, starts)


@dataclass(frozen=True)
class Comparison:
    """Stored vectors beside the rows that they should be; what is not finite is the same as nothing.

    Attributes:
        same_code: (m,) whether both codes decode to the same vector: sure where this library encoded.
        same_vector: (m,) whether they may be of one vector, encoded by another library or in another batch.
        scaled: (m,) whether they are of one vector at two lengths.
    """

    same_code: NDArray[np.bool_]
    same_vector: NDArray[np.bool_]
    scaled: NDArray[np.bool_]


@np.errstate(invalid="ignore")
def compare(
    stored: StoredVectors, x: FloatArray, at: FloatArray, usual_error: float | None = None
) -> Comparison:
    """Return what became of rows ``x`` (m, d) whose positions hold codes that decode to ``at``.

    Args:
        usual_error: error of nearly all codes as a share of the length, where rows are not encoded again
            because that is slow; None encodes them.
    """
    seen = stored.seen(x)
    size = length(seen)
    off = length(at - seen)
    if usual_error is None:
        again = stored.decoded(seen)
        own_error = length(again - seen)
        if stored.n_bits:  # which decode to +1 and -1: each that differs adds 4 to the squared distance
            same_code = same = length(at - again) <= 2 * np.sqrt(1 + CHANGED * stored.n_bits)
            return Comparison(same_code, same, np.zeros_like(same))
        same_code = length(at - again) <= CHANGED * size
        same = same_code | (off <= WORSE * own_error + CHANGED / 2 * size)
    else:
        own_error = usual_error * size
        same_code = same = off <= own_error + CHANGED * size
    turned = length(at / length(at)[:, None] - seen / size[:, None])
    return Comparison(same_code, same, ~same & (turned <= WORSE * own_error / size + CHANGED))


@np.errstate(over="ignore")
def length(x: FloatArray) -> FloatArray:
    """Return the length (m,) of rows, never 0."""
    found: FloatArray = np.linalg.norm(x, axis=1) + np.finfo(np.float32).tiny
    return found
