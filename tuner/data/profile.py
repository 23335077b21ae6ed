"""What one pass over the base finds: bad values, norms, copies, dead dimensions, spectrum, the metric."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.kind import FEWEST_ROWS, MetricChoice, Shape, choose_metric, looks_packed
from tuner.data.vectors import Vectors, row_hashes
from tuner.errors import InputError
from tuner.types import FloatArray, IdArray, Profile, Steps

SHORTEST, LONGEST = 1e-18, 1e18
"""Norms whose squares float32 still holds; a shorter row counts as zero, a longer one is refused."""
DEAD_SPREAD = 1e-6
"""Spread of a dead dimension relative to the typical one: below what float32 resolves (1.2e-7) in a sum."""
SAMPLE_ROWS, WIDE_SAMPLE_ROWS, WIDE = 10_000, 1_500, 1_500
"""Rows of the spectrum's sample; from ``WIDE`` dimensions on fewer, so that it stays a second's work."""
PACKED_SAMPLE = 2_000
"""Rows that are looked at for packed bits."""
SHARES = (0.90, 0.95, 0.99)


@dataclass
class BadRows:
    """First row and number of rows of one fault."""

    first: int = -1
    count: int = 0

    def add(self, start: int, bad: NDArray[np.bool_]) -> None:
        """Add the faults of a block that begins at row ``start``."""
        if bad.any():
            if not self.count:
                self.first = start + int(bad.argmax())
            self.count += int(bad.sum())

    def merge(self, later: BadRows) -> None:
        """Add the faults of rows that come after these."""
        if not self.count:
            self.first = later.first
        self.count += later.count

    def within(self, vectors: Vectors) -> str:
        """Return in words how many rows of a file these are, and which is the first."""
        first = self.first if vectors.kept is None else vectors.kept[self.first]
        return f"{self.count:,} row{'s' * (self.count != 1)}, the first is row {first}"


@dataclass
class Tally:
    """Sums over the rows seen so far."""

    d: int
    not_finite: BadRows = field(default_factory=BadRows)
    zero: BadRows = field(default_factory=BadRows)
    too_long: BadRows = field(default_factory=BadRows)
    n: int = 0
    norm_min: float = np.inf
    norm_max: float = 0.0
    norm_sum: float = 0.0
    counts_only: bool = True
    origin: NDArray[np.float64] | None = None
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if not len(self.sums):
            self.sums, self.squares = np.zeros(self.d), np.zeros(self.d)

    def add(self, start: int, block: FloatArray) -> None:
        """Add a block that begins at row ``start``; rows that are not finite count only as such."""
        finite = np.asarray(np.isfinite(block).all(axis=1))
        self.not_finite.add(start, ~finite)
        values = block.astype(np.float64)
        norms = np.sqrt(np.einsum("nd,nd->n", values, values))
        self.zero.add(start, norms < SHORTEST)
        self.too_long.add(start, finite & (norms > LONGEST))
        if self.not_finite.count:
            return
        self.counts_only = self.counts_only and bool((block >= 0).all() and (block == np.rint(block)).all())
        self.n += len(block)
        self.norm_min = min(self.norm_min, float(norms[norms >= SHORTEST].min(initial=np.inf)))
        self.norm_max = max(self.norm_max, float(norms.max()))
        self.norm_sum += float(norms.sum())
        if self.origin is None:
            self.origin = values[0].copy()
        values -= self.origin  # so that constant columns have a spread of exactly zero
        self.sums += values.sum(axis=0)
        self.squares += np.einsum("nd,nd->d", values, values)

    def merge(self, later: Tally) -> None:
        """Add the sums over rows that come after these, of a tally with the same origin."""
        for mine, other in (
            (self.not_finite, later.not_finite),
            (self.zero, later.zero),
            (self.too_long, later.too_long),
        ):
            mine.merge(other)
        self.counts_only = self.counts_only and later.counts_only
        self.n += later.n
        self.norm_min, self.norm_max = min(self.norm_min, later.norm_min), max(self.norm_max, later.norm_max)
        self.norm_sum += later.norm_sum
        self.sums, self.squares = self.sums + later.sums, self.squares + later.squares
        if self.origin is None:
            self.origin = later.origin

    def dead_dimensions(self) -> tuple[int, ...]:
        """Return columns whose spread is below rounding, ascending; none for a single row."""
        if self.n < 2:
            return ()
        variance = np.maximum(self.squares / self.n - (self.sums / self.n) ** 2, 0)
        return tuple(np.flatnonzero(variance <= DEAD_SPREAD**2 * variance.mean()).tolist())


def scan(vectors: Vectors, metric: MetricChoice, *, seed: int) -> Steps[Profile]:
    """Yield the share done; return the profile, with the metric chosen.

    Args:
        metric: the user's, or ``auto``.
        seed: random seed of the sample for the spectrum.

    Raises:
        InputError: NaN or infinity, values too large for float32 distances, zero rows under cosine.
    """
    tally = Tally(vectors.d)
    hashes = np.empty(vectors.n, dtype=np.int64)
    for start, stop in vectors.blocks():
        block = vectors.read(start, stop)
        tally.add(start, block)
        hashes[start:stop] = row_hashes(block)
        yield 0.8 * stop / vectors.n
    _refuse(vectors, tally, "auto")
    fingerprint = vectors.fingerprint
    yield 0.9
    rows = sampled_rows(vectors.n, vectors.d, seed)
    return profile_of(vectors, metric, tally, vectors.rows(rows), _group_sizes(hashes), fingerprint)


def profile_of(
    vectors: Vectors,
    metric: MetricChoice,
    tally: Tally,
    sample: FloatArray,
    groups: NDArray[np.int64],
    fingerprint: str,
) -> Profile:
    """Return the profile that sums over all rows make.

    Args:
        metric: the user's, or ``auto``.
        sample: (m, d) float32 rows of ``sampled_rows``; changed in place.
        groups: number of rows of each group of equal ones.

    Raises:
        InputError: NaN or infinity, values too large for float32 distances, zero rows under cosine.
    """
    _refuse(vectors, tally, "auto")
    _refuse_packed(vectors, sample)
    chosen, reason = choose_metric(_shape(tally), metric, vectors.distance)
    if chosen == "cosine" and 2 * tally.zero.count > vectors.n:
        raise InputError(
            f"{vectors.source} has zero vectors in {tally.zero.within(vectors)}, more than half of it: embed "
            "them again"
        )
    return Profile(
        source=vectors.source,
        n=vectors.n,
        d=vectors.d,
        dtype=vectors.dtype.name,
        fingerprint=fingerprint,
        metric=chosen,
        metric_reason=reason,
        norm_min=0.0 if tally.zero.count and chosen != "cosine" else tally.norm_min,
        norm_mean=tally.norm_sum / tally.n,
        norm_max=tally.norm_max,
        n_zero_rows=tally.zero.count,
        n_duplicate_rows=vectors.n - len(groups),
        largest_duplicate_group=int(groups.max()),
        dead_dimensions=tally.dead_dimensions(),
        spectrum_dims=_spectrum(sample),
    )


def rows_without_direction(base: Vectors, profile: Profile) -> IdArray:
    """Return the rows that no index holds, ascending int64: zero rows under cosine."""
    if not profile.n_left_out:
        return np.zeros(0, dtype=np.int64)
    found = []
    for start, stop in base.blocks():
        found.append(start + without_length(base.read(start, stop)))
    return np.concatenate(found)


def without_length(block: FloatArray) -> IdArray:
    """Return the rows of a block (m, d) float32 that count as zero, ascending int64."""
    return np.flatnonzero(np.einsum("nd,nd->n", block, block, dtype=np.float64) < SHORTEST**2)


def check_queries(base: Vectors, queries: Vectors, metric: MetricChoice) -> None:
    """Raise InputError unless all queries can be searched for in the base.

    Args:
        metric: chosen for the base; with ``auto`` zero rows are not looked for.
    """
    if queries.d != base.d:
        raise InputError(
            f"{queries.source} has {queries.d} dimensions and {base.source} has {base.d}: "
            "embed queries and base with the same model"
        )
    tally = Tally(queries.d)
    for start, stop in queries.blocks():
        tally.add(start, queries.read(start, stop))
    _refuse(queries, tally, metric)


def _refuse(vectors: Vectors, tally: Tally, metric: MetricChoice) -> None:
    source = vectors.source
    if tally.not_finite.count:
        raise InputError(
            f"{source} has NaN or infinite values as float32 in {tally.not_finite.within(vectors)}: "
            "remove these rows or embed them again"
        )
    if tally.too_long.count:
        raise InputError(
            f"{source} has values whose squares overflow float32 in {tally.too_long.within(vectors)}: "
            "divide all rows by one constant"
        )
    if metric == "cosine" and tally.zero.count:
        raise InputError(
            f"{source} has zero vectors, which have no direction and no cosine, in "
            f"{tally.zero.within(vectors)}: remove these rows or use --metric l2 or ip"
        )


def _shape(tally: Tally) -> Shape:
    """Return what the choice of a metric depends on."""
    origin = np.zeros(tally.d) if tally.origin is None else tally.origin
    return Shape(
        d=tally.d,
        norm_min=tally.norm_min,
        norm_max=tally.norm_max,
        n_zero_rows=tally.zero.count,
        counts_only=tally.counts_only,
        energy=tally.squares + 2 * origin * tally.sums + tally.n * origin**2,
    )


def _refuse_packed(vectors: Vectors, sample: FloatArray) -> None:
    if vectors.dtype != np.uint8 or vectors.n < FEWEST_ROWS:
        return
    some = sample[:: -(-len(sample) // PACKED_SAMPLE)]
    if looks_packed(some.astype(np.uint8)):
        raise InputError(
            f"{vectors.source}: its rows look like packed binary embeddings (numpy.packbits, {vectors.d} "
            f"bytes for {8 * vectors.d:,} bits), whose neighbours by l2 are not those by Hamming distance: "
            "give the float embeddings that they were made of (faiss.IndexBinaryHNSW searches bits; if these "
            "really are numbers, save them as float32)"
        )


def _group_sizes(hashes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many rows share each hash; sorts ``hashes`` in place."""
    hashes.sort()
    starts = np.flatnonzero(np.diff(hashes)) + 1
    return np.diff(starts, prepend=0, append=len(hashes))


def sampled_rows(n: int, d: int, seed: int) -> IdArray:
    """Return the rows that the spectrum is taken of, ascending int64."""
    size = min(n, SAMPLE_ROWS if d <= WIDE else WIDE_SAMPLE_ROWS)
    return np.sort(np.random.default_rng(seed).choice(n, size, replace=False)).astype(np.int64)


def _spectrum(sample: FloatArray) -> tuple[int, int, int]:
    """Return how many principal components hold 90, 95 and 99 % of the variance; zeros if there is none."""
    sample -= sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    sample /= np.abs(sample).max() or 1  # squares of large values would overflow
    products: NDArray[Any] = sample.T @ sample if sample.shape[0] > sample.shape[1] else sample @ sample.T
    variances = np.maximum(np.linalg.eigvalsh(products.astype(np.float64))[::-1], 0)
    total = variances.sum()
    if total <= 0:
        return (0, 0, 0)
    held = np.cumsum(variances) / total
    a, b, c = (int(np.searchsorted(held, share)) + 1 for share in SHARES)
    return (a, b, c)
