"""What kind of data a file holds: embeddings, packed bits, or numbers that have no direction to compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tuner.types import FloatArray, Metric

MetricChoice: TypeAlias = Literal["auto", "cosine", "ip", "l2"]
METRICS: dict[str, Metric] = {
    **dict.fromkeys(("angular", "cosine"), "cosine"),
    **dict.fromkeys(("euclidean", "l2"), "l2"),
    **dict.fromkeys(("dot", "ip", "inner_product"), "ip"),
}
"""What files call the metrics; ann-benchmarks: the first of each."""
FEWEST_COLUMNS = 4
"""Fewer columns are coordinates: no embedding model writes so few."""
ONE_COLUMN = 0.99
"""Share of all squared values above which one column alone decides the direction of nearly every row."""
PACKED_COLUMNS = range(16, 513)
"""Bytes a row of packed embeddings: 128 to 4,096 bits."""
FEWEST_ROWS = 200
"""Rows below which the correlation of bits is mostly noise."""
SAME_POSITION = 0.2
"""Spread of the share of ones over the eight positions: .02 to .07 in packed signs, .25 to .44 in counts."""
SAME_STRUCTURE = 0.5
"""Share of the highest bit's correlation across columns that the lowest keeps: .8 to 1 in packed signs,
0 to .2 in numbers."""
CHANCE = 3.0
"""Standard errors within which a correlation across columns is none."""
INSIDE = 0.2
"""Correlation of bits inside a byte: .03 to .11 in packed signs, .28 in numbers around a middle,
.5 in pixels."""


@dataclass(frozen=True)
class Shape:
    """What one pass says of the values, as far as a metric depends on it.

    Attributes:
        d: number of columns.
        norm_min: smallest norm of the rows that are not zero.
        norm_max: largest norm.
        n_zero_rows: number of rows of zeros.
        counts_only: whether all values are whole numbers from 0 up.
        energy: (d,) sums of the squared values of each column.
    """

    d: int
    norm_min: float
    norm_max: float
    n_zero_rows: int
    counts_only: bool
    energy: NDArray[np.float64]

    @property
    def largest_column(self) -> int:
        """Column that holds most of the squared values."""
        return int(self.energy.argmax())

    @property
    def largest_share(self) -> float:
        """Share of all squared values in that column."""
        total = float(self.energy.sum())
        return float(self.energy.max()) / total if total > 0 else 0.0


def metric_of(distance: str) -> Metric | None:
    """Return the metric that a file names, None where it names none that is known.

    >>> metric_of("angular"), metric_of("hamming")
    ('cosine', None)
    """
    return METRICS.get(distance.lower())


def choose_metric(shape: Shape, asked: MetricChoice, distance: str = "") -> tuple[Metric, str]:
    """Return the metric and why.

    Args:
        shape: what the values look like.
        asked: metric that the user asked for, or ``auto``.
        distance: what the file says that the vectors are compared by, empty where it does not.
    """
    found = metric_of(distance) if asked == "auto" else asked
    if found is not None:
        reason = f"the file says that its distance is {distance}" if asked == "auto" else "asked for"
        return found, reason + (_left_out(shape) if found == "cosine" else "")
    if shape.d < FEWEST_COLUMNS:
        return (
            "l2",
            f"{shape.d} column{'s' * (shape.d > 1)} are coordinates, no embedding: they have distances, not "
            "directions",
        )
    if shape.largest_share > ONE_COLUMN:
        return "l2", (
            f"column {shape.largest_column} holds {shape.largest_share:.1%} of all squared values, so this "
            "is no embedding, and all rows point in nearly the same direction: scale the columns alike first"
        )
    if shape.norm_min >= 0.99 and shape.norm_max <= 1.01:
        reason = "all norms are within 1 % of 1, so cosine, ip and l2 rank alike"
    elif shape.counts_only:
        return "l2", "whole numbers from 0 up are descriptors or counts, which are compared by l2"
    else:
        reason = (
            f"norms run from {shape.norm_min:.3g} to {shape.norm_max:.3g}, and embeddings are compared by "
            "direction; use --metric ip or l2 if the model's card says so"
        )
    return "cosine", reason + _left_out(shape)


def _left_out(shape: Shape) -> str:
    if not shape.n_zero_rows:
        return ""
    rows = f"{shape.n_zero_rows:,} zero row{'s' * (shape.n_zero_rows != 1)}"
    return f"; {rows} left out of the index, which have no direction"


def looks_packed(rows: NDArray[np.uint8]) -> bool:
    """Return whether bytes look like packed bits (``numpy.packbits``) and not like numbers.

    In numbers the highest bit carries the value and the lowest is noise, so that columns are correlated in
    the one and not in the other, and the bits of a byte depend on each other.
    In packed bits all eight are alike.

    Args:
        rows: (m, d) uint8, a sample.
    """
    if len(rows) < FEWEST_ROWS or rows.shape[1] not in PACKED_COLUMNS:
        return False
    bits = np.unpackbits(rows, axis=1).reshape(len(rows), rows.shape[1], 8).astype(np.float32)
    share = bits.mean(axis=0)
    if np.ptp(share.mean(axis=0)) > SAME_POSITION:
        return False
    scaled = (bits - share) / np.sqrt(np.maximum(share * (1 - share), 1e-3))
    if _rms_correlation(scaled) > INSIDE:
        return False
    across = [_rms_correlation(scaled[:, None, :, position]) for position in range(8)]
    n, pairs = len(rows), rows.shape[1] * (rows.shape[1] - 1) / 2
    by_chance = float(np.sqrt(CHANCE * np.sqrt(2 / pairs) / n))  # what is left of mean squares of n rows
    return min(across) >= SAME_STRUCTURE * across[0] or across[0] < by_chance


def _rms_correlation(scaled: FloatArray) -> float:
    """Return the root mean square correlation of the last axis's columns, chance taken off.

    Args:
        scaled: (m, groups, columns) of mean 0 and variance 1; columns of one group are correlated.
    """
    n = len(scaled)
    correlation = np.einsum("ngi,ngj->gij", scaled, scaled, optimize=True) / n
    others = ~np.eye(scaled.shape[2], dtype=bool)
    return float(np.sqrt(max(float((correlation[:, others] ** 2).mean()) - 1 / n, 0.0)))
