"""What a planted cause is: a damaged index, with the recall that each cause takes away by construction.

The loss of each is reckoned from the vectors and the parts of the index alone, with exact searches of
faiss and none of the diagnosis' own code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import faiss

from benchmarks.diagnosis.vectors import Array, UnitVectors
from tuner.types import Metric


@dataclass(frozen=True)
class Planted:
    """An index with what is wrong with it.

    Attributes:
        index: the index to diagnose.
        x: (n, d) float32 file that the index is compared with.
        queries: (nq, d) float32.
        losses: recall that each cause takes away, by the cause's name; empty for a healthy index.
        metric: metric that the user means.
    """

    index: faiss.Index
    x: Array
    queries: Array
    losses: dict[str, float] = field(default_factory=dict)
    metric: Metric = "cosine"

    @property
    def first(self) -> str:
        """The cause that takes most away."""
        return max(self.losses, key=lambda name: self.losses[name]) if self.losses else "healthy"


Plant: TypeAlias = Callable[[UnitVectors], Planted]
