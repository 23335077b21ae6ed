"""What was found in the data."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.types.words import Metric


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What one pass over the base says.

    Attributes:
        source: file of the vectors as named by the user, or ``base array``.
        n: number of vectors.
        d: dimensions of a vector.
        dtype: numpy's name of the stored type.
        fingerprint: digest of shape, type and values.
        metric: metric chosen: cosine, ip or l2.
        metric_reason: reason for the metric, for the screen.
        norm_min: smallest norm of a vector.
        norm_mean: mean norm of the vectors.
        norm_max: largest norm of a vector.
        n_zero_rows: number of vectors of length zero.
        n_duplicate_rows: number of rows that repeat an earlier row bit for bit.
        largest_duplicate_group: size of the largest group of equal rows.
        dead_dimensions: columns whose spread is below rounding, ascending.
        spectrum_dims: principal components that hold 90, 95 and 99 % of the variance of a sample.
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

    @property
    def n_left_out(self) -> int:
        """Number of rows that no index holds: zero rows under cosine, which have no direction."""
        return self.n_zero_rows if self.metric == "cosine" else 0

    @property
    def n_indexed(self) -> int:
        """Number of vectors of an index of all rows."""
        return self.n - self.n_left_out


@dataclass(frozen=True, kw_only=True)
class OwnIds:
    """The user's own ids of the rows.

    Attributes:
        source: file of the ids as named by the user, or a name for a list.
        n_deleted: number of rows of the file that were deleted on purpose, and are in no index.
        in_index: whether the index answers with them; else ``index.ids.npy`` has them by row number.
    """

    source: str
    n_deleted: int
    in_index: bool


@dataclass(frozen=True, kw_only=True)
class Collapsed:
    """Rows that repeat another, one node of the index for all that are equal.

    Attributes:
        n_distinct: number of nodes of the index handed over.
        n_copies: number of rows that it answers with beside them, by the list beside it.
        n_measured_on: number of nodes while rows were held out as queries.
        distinct_per_query: mean number of nodes that the k nearest rows of a query are.
    """

    n_distinct: int
    n_copies: int
    n_measured_on: int
    distinct_per_query: float


@dataclass(frozen=True, kw_only=True)
class QuerySet:
    """Where the queries came from and how many there are.

    Attributes:
        source: file of the queries as named by the user, or a name for what came out of the base.
        fingerprint: digest of shape, type and values.
        n: number of queries.
        held_out_rows: rows of the base file that became queries; empty when a query file was given.
        n_in_base: number of queries that equal a row of the base bit for bit.
        drawn: digest of the held-out rows and of their order.
        indexed: whether the index handed over holds the held-out rows too.
    """

    source: str
    fingerprint: str
    n: int
    held_out_rows: tuple[int, ...] = ()
    n_in_base: int = 0
    drawn: str = ""
    indexed: bool = False
