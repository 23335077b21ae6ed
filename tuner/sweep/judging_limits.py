"""What judging a codec would cost, predicted before it is paid, and how much that may be.

Training grows with d, d^2 and d^3 while the build grows with n: at 4,096 dimensions a rotated product codec
takes minutes to train for an index that is built in seconds. So no codec may cost more than a share of the
one build.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import inf

import numpy as np

from tuner.index.codecs import Quantizer
from tuner.index.encoders import OPQ_ITERATIONS, PQ_ITERATIONS, TRAIN_ROWS
from tuner.index.projections import Projection
from tuner.runtime.timing import WIDE
from tuner.types import FloatArray

BUILD_SHARE, LEAST_S = 0.25, 1.0
"""A codec of wide vectors may cost this share of the CPU seconds of the one build, and so many at least."""
SLOW = 3.0
"""What is slower by no more than this is measured whatever it takes."""
ALL_SHARE, ALL_LEAST_S = 1.0, 2.0
"""The same for all codecs together."""
KMEANS_WORK, OPQ_WORK, AXES_WORK = 60.0, 300.0, 14.0
"""Multiplications of a matrix product that take as long as a component compared in k-means, as the d^3-th
part of an iteration of OPQ, and as that of finding principal axes; measured from d = 256 to 1,536."""
SCALE_WORK = 3400.0
"""The same for a component and bit of RaBitQ, which searches for the best scale of each row it encodes."""
FEWEST_CENTROIDS = 64
"""Training of fewer is bound by the many small calls that it takes."""
PRODUCT_ROWS, REPEATS = 256, 3


@dataclass(frozen=True)
class JudgingLimits:
    """What training costs here, and what it may.

    Attributes:
        product_s: CPU seconds of one multiplication with its addition in a matrix product.
        build_s: CPU seconds of the one graph build.
        most_s: the most CPU seconds that a codec may cost.
        all_s: the CPU seconds of judging after which no further codec is judged.
    """

    product_s: float
    build_s: float
    most_s: float = inf
    all_s: float = inf

    def training_s(self, codec: Quantizer, d: int, n: int) -> float:
        """Return the CPU seconds that k-means, rotations and the search for scales take; others take none.

        Args:
            codec: the codec.
            d: dimensions of the prepared base, whose axes a rotation of all dimensions turns.
            n: rows that are encoded.
        """
        if codec.kind == "rabitq" and codec.is_slow:
            return self.product_s * SCALE_WORK * codec.bits * codec.width * n
        if codec.kind not in ("pq", "opq"):
            return 0.0
        compared = TRAIN_ROWS * PQ_ITERATIONS * max(FEWEST_CENTROIDS, 2.0**codec.bits) * codec.width
        work = KMEANS_WORK * compared
        if codec.kind == "opq":
            work += OPQ_WORK * OPQ_ITERATIONS * float(max(codec.width, d)) ** 3
        return self.product_s * work

    def axes_s(self, d: int) -> float:
        """Return the CPU seconds that finding the principal axes of ``d`` dimensions takes."""
        return self.product_s * AXES_WORK * float(d) ** 3

    def used_up(self, spent_s: float) -> str:
        """Return why no further codec is judged after so many CPU seconds of it, or an empty string."""
        if spent_s <= self.all_s:
            return ""
        return (
            f"judging the codecs before it took {spent_s:.0f} CPU s, where the one graph build took "
            f"{self.build_s:.0f} s and no more than {self.all_s:.0f} s go into that"
        )

    def too_slow(self, measuring_s: float, slower: float) -> str:
        """Return why a codec that is found worth it is not measured, or an empty string.

        Args:
            measuring_s: seconds that finding the ef_search of its fastest index takes.
            slower: its seconds a distance over those of the codec that the graph was built on.
        """
        if slower <= SLOW or measuring_s <= self.most_s:
            return ""
        return (
            f"a distance takes {slower:.1f} x what it takes with the codec that the graph was built on, and "
            f"measuring it would take about {measuring_s:.0f} s, where no codec may take more than "
            f"{self.most_s:.1f} s"
        )

    def too_dear(
        self, codec: Quantizer, projection: Projection, d: int, n: int, encoding_s: float = 0.0
    ) -> str:
        """Return why a codec costs more than it may, or an empty string.

        Args:
            codec: the codec.
            projection: dimensions that it sees.
            d: dimensions of the prepared base.
            n: rows that are encoded.
            encoding_s: CPU seconds of encoding every row that it would be judged on, where that is known.
        """
        axes_s = self.axes_s(d) if projection.cut == "pca" else 0.0
        needed_s = max(self.training_s(codec, d, n), encoding_s) + axes_s
        if needed_s <= self.most_s:
            return ""
        what = "finding the principal axes" if axes_s > self.most_s else "training and judging it"
        return (
            f"{what} at {d:,} dimensions would take about {needed_s:.0f} CPU s, where the one graph build "
            f"took {self.build_s:.0f} s and no codec may take more than {self.most_s:.1f} s"
        )


def measure_limits(sample: FloatArray, build_s: float) -> JudgingLimits:
    """Return the limits on this machine, from a matrix product of some rows of ``sample`` (rows, d).

    Args:
        sample: prepared rows.
        build_s: CPU seconds of the one graph build.
    """
    rows = sample[:PRODUCT_ROWS]
    spent = []
    for _ in range(REPEATS):
        start = time.process_time()
        np.dot(rows, rows.T)
        spent.append(time.process_time() - start)
    d = rows.shape[1]
    product_s = min(spent) / (len(rows) ** 2 * d)
    return limited(product_s, build_s) if d >= WIDE else JudgingLimits(product_s, build_s)


def limited(product_s: float, build_s: float) -> JudgingLimits:
    """Return the limits of wide vectors beside a build of ``build_s`` CPU seconds."""
    most_s, all_s = max(LEAST_S, BUILD_SHARE * build_s), max(ALL_LEAST_S, ALL_SHARE * build_s)
    return JudgingLimits(product_s, build_s, most_s, all_s)
