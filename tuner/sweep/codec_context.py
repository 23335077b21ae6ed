"""What codecs are judged with, and what has been found of them so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tuner.data.base import Base
from tuner.index.codec_view import CodecView
from tuner.index.codecs import Codes
from tuner.index.encoders import Encoder
from tuner.index.graph import DerivableGraph
from tuner.index.projections import Rotation
from tuner.prediction.ceilings import Pool
from tuner.prediction.curves import Curve
from tuner.prediction.kernel_costs import KernelCost, Reranking
from tuner.prediction.surface import Candidate, CodecCost
from tuner.sweep.candidates import rough_memory, surface_of
from tuner.sweep.codec_costs import FullSize, codec_cost_of
from tuner.sweep.judging_limits import JudgingLimits
from tuner.sweep.problem import Problem
from tuner.types import Ceiling, FloatArray

MeasureCeiling = Callable[
    [Pool, Encoder, Codes, dict[str, FloatArray], tuple[int, ...], float],
    Ceiling,
]


@dataclass(frozen=True)
class CodecContext:
    """What every codec is judged with.

    Attributes:
        problem: data and queries.
        graph: the one graph.
        curves: recall and cost of its derived graphs, by M.
        sample: (rows, d) float32, rows that codecs are trained on.
        rotation: finds the principal axes for PCA cuts, when they are first asked for.
        judged: prepared rows that the pools name: the problem's base, or what was drawn from the whole file.
        pool: deep pool, for codecs that lose much.
        shallow: pool that good codecs are judged on.
        stores: encoders of the re-ranking stores, by name.
        kernels: costs in a small graph.
        rerankings: costs of re-ranking in a small graph, by store.
        fetch_s: seconds that fetching adds to a candidate that is re-ranked.
        full: timing at full size.
        measure_ceiling: measurement of one codec's ceiling.
        limits: what judging a codec may cost, and what training costs.
    """

    problem: Problem
    graph: DerivableGraph
    curves: dict[int, Curve]
    sample: FloatArray
    rotation: Callable[[], Rotation]
    judged: Base
    pool: Pool
    shallow: Pool
    stores: dict[str, Encoder]
    kernels: dict[CodecView, KernelCost]
    rerankings: dict[str, Reranking]
    fetch_s: float
    full: FullSize
    measure_ceiling: MeasureCeiling
    limits: JudgingLimits

    def whole(self, view: CodecView) -> CodecView:
        """Return the same codec on all dimensions."""
        return view.whole(self.problem.base.d)


@dataclass
class CodecLedger:
    """What has been found of the codecs so far.

    Attributes:
        timed: seconds a distance, and distances for one of the curve, of codecs that were timed at full size.
        distances: distances of the re-ranking stores in the pool, by its depth: a deep one is seldom needed.
        ceilings: every codec that was judged, in that order.
        costs: seconds at full size.
        trained: serialized encoders of those that have a ceiling.
        known: candidates on the front that is predicted so far.
        spent_s: CPU seconds that judging took so far.
    """

    timed: dict[CodecView, tuple[float, float]] = field(default_factory=dict)
    distances: dict[int, dict[str, FloatArray]] = field(default_factory=dict)
    ceilings: list[Ceiling] = field(default_factory=list)
    costs: dict[CodecView, CodecCost] = field(default_factory=dict)
    trained: dict[CodecView, bytes] = field(default_factory=dict)
    known: list[Candidate] = field(default_factory=list)
    spent_s: float = 0.0


def guess_cost(context: CodecContext, ledger: CodecLedger, view: CodecView) -> tuple[float, float]:
    """Return seconds a distance and distances of a codec, timed at full size if it was, else guessed.

    What the codec on all dimensions is off by, its cuts are taken to be off by.
    """
    kernel = context.kernels[view]
    guess_s = context.full.guess_s(kernel)
    for same in (view, view.unrotated):
        if same in ledger.timed:
            return ledger.timed[same]
    whole = context.whole(view)
    if whole not in ledger.timed:
        return guess_s, max(1.0, kernel.ndis / context.full.kernel.ndis)
    distance_s, distances = ledger.timed[whole]
    return guess_s * distance_s / context.full.guess_s(context.kernels[whole]), distances


def set_cost(
    context: CodecContext, ledger: CodecLedger, view: CodecView, distance_s: float, distances: float
) -> None:
    """Write down what a codec costs at full size."""
    ledger.costs[view] = codec_cost_of(
        context.kernels[view],
        distance_s,
        distances,
        context.full.hop_s,
        context.rerankings,
        context.fetch_s,
    )


def candidates_of(context: CodecContext, ledger: CodecLedger, ceiling: Ceiling) -> list[Candidate]:
    """Return every candidate of a codec with this ceiling, at the cost that is known of it."""
    return surface_of(
        context.problem,
        context.curves,
        ceiling,
        ledger.costs[CodecView.of(ceiling)],
        lambda configuration: rough_memory(context.problem.base, context.graph, configuration),
    )
