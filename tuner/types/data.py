"""What was found in the data."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.types.words import Metric


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What one pass over the base says.

    Attributes:
        n_duplicate_rows: rows that repeat an earlier row bit for bit.
        dead_dimensions: columns whose spread is below rounding, ascending.
        spectrum_dims: principal components that hold 90, 95 and 99 % of the variance of a sample.
        metric_reason: why the metric was chosen, for the screen.
    """

    source: str
    n: int
    d: int
    dtype: str
    fingerprint: str
    metric: Metric
    metric_reason: str
    norm_min: float
    norm_mean: float
    norm_max: float
    n_zero_rows: int
    n_duplicate_rows: int
    largest_duplicate_group: int
    dead_dimensions: tuple[int, ...]
    spectrum_dims: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class QuerySet:
    """Where the queries came from and how they were split.

    Attributes:
        held_out_rows: rows of the base file that became queries; empty when a query file was given.
        n_in_base: queries that equal a row of the base bit for bit.
        split: digest of the held-out rows and of the positions of the validation half.
    """

    source: str
    fingerprint: str
    n_tune: int
    n_validate: int
    held_out_rows: tuple[int, ...] = ()
    n_in_base: int = 0
    split: str = ""
