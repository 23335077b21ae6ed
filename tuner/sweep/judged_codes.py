"""The codes of one codec while it is judged: encoding costs most of that, so no row is encoded twice."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.base import Base
from tuner.index.assemble import Encoded
from tuner.index.codec_view import CodecView
from tuner.index.codecs import Codes
from tuner.index.encoders import Encoder
from tuner.prediction.ceilings import encode_rows
from tuner.sweep.codec_costs import exact_codes
from tuner.sweep.problem import Problem

MOST_ROWS = 0.5
"""Share of the base from which on all rows are encoded at once: who is worth it needs them anyway."""


def n_encoded(n_rows: int, n: int) -> int:
    """Return how many of ``n`` rows are encoded for a codec that is judged on ``n_rows`` and worth it."""
    return n if n_rows >= MOST_ROWS * n else n_rows + n


class JudgedCodes:
    """Codes of the rows that are asked for.

    Args:
        problem: data of the run.
        view: codec and cut.
        encoder: the trained codec.
        judged: rows that the codec is judged on: those of the problem's base, or of the whole file's pool.
    """

    def __init__(self, problem: Problem, view: CodecView, encoder: Encoder, judged: Base) -> None:
        self.problem, self.view, self.encoder, self.judged = problem, view, encoder, judged

    @cached_property
    def whole(self) -> Encoded:
        """The codes of the whole base; those of float32 are the base itself."""
        if self.view == CodecView("fp32", self.problem.base.d):
            return exact_codes(self.encoder, self.problem)
        return Encoded(self.encoder, encode_rows(self.problem.base, self.encoder))

    def of(self, rows: NDArray[np.integer[Any]]) -> Codes:
        """Return the codes (m, code_bytes) of some of the rows that it is judged on.

        Codes of more than a byte a dimension are made in no time, and all of them would take memory.
        """
        base, codec = self.judged, self.encoder.codec
        small = codec.code_bytes <= codec.width
        are_known = "whole" in vars(self) or (small and len(rows) >= MOST_ROWS * base.n)
        if base is self.problem.base and are_known:
            some: Codes = self.whole.codes[rows]
            return some
        return encode_rows(base, self.encoder, rows)
