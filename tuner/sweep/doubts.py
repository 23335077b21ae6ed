"""Doubts about a run's figures: each says what was seen and what to do about it."""

from __future__ import annotations

from enum import Enum

from tuner.types import Warned

MOST_NOISE = 0.05
"""A noise floor above this is worth a warning."""

MOST_COLUMNS_A_ROW = 8
"""Columns a row from which on a file is rather a transposed one."""


class Doubt(Enum):
    """A doubt that the user should act on; its value is the sentence, facts in braces.

    >>> Doubt.OUT_OF_TIME.about().text
    'the time budget ended the measurements early: the front may lack a point'
    """

    ZERO_ROWS = (
        "{n_left_out:,} of {n:,} rows are zero vectors, which have no direction: they are in no index and no "
        "answer; empty documents are often embedded so"
    )
    ON_ITS_SIDE = (
        "{n:,} rows of {d:,} columns: if they are {d:,} vectors of {n:,} numbers, the file lies on its side, "
        "so save x.T and run again"
    )
    QUERIES_IN_BASE = (
        "{n_in_base} of {n_queries} queries equal a row of the base: they find themselves, "
        "which makes recall look better than new queries will see"
    )
    OUT_OF_TIME = "the time budget ended the measurements early: the front may lack a point"
    RAISED = (
        "the held-out half fell short at the ef_search that the tune half chose, so ef_search was "
        "raised until both halves support the target: the held-out half took part in that choice"
    )
    BUSY_MACHINE = (
        "the machine was busy: the same index entered twice differed by {noise:.0%} in "
        "time, so latencies are that uncertain; recall, memory and ndis are not: run again when it is "
        "quiet"
    )

    def about(self, **facts: object) -> Warned:
        """Return the event with the facts in its sentence."""
        return Warned(self.value.format(**facts))
