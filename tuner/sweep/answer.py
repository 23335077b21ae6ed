"""Stage 4, from measured points to the answer: the front, the three names, the recommendation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuner.prediction.choice import TIE, choose
from tuner.prediction.pareto import name_points
from tuner.sweep.flattery import flattery
from tuner.sweep.measure import Measured
from tuner.sweep.problem import Problem
from tuner.types import OperatingPoint, Recommendation


@dataclass(frozen=True)
class Answer:
    """Points in the order of the report, and which of them matter."""

    points: tuple[OperatingPoint, ...]
    front: tuple[int, ...]
    named: dict[str, int]

    @property
    def found(self) -> bool:
        """Whether anything meets every constraint."""
        return bool(self.named)


def answer(measured: Measured) -> Answer:
    """Return the answer: points that meet every constraint, or those nearest to it."""
    problem, points, timed = measured.problem, list(measured.points), measured.timed
    found = answer_of(points, timed.points, problem.max_memory_bytes(), timed.noise_floor)
    return found if found.found else closest(problem, points, timed.points)


def answer_of(
    points: list[OperatingPoint], finalists: tuple[OperatingPoint, ...], max_memory: float, noise: float
) -> Answer:
    """Return the answer: finalists that meet every constraint make the front.

    Args:
        points: everything measured.
        finalists: what was timed.
        max_memory: limit on resident bytes.
        noise: the A/A noise floor.
    """
    good = [p for p in finalists if p.reaches_target and p.memory.resident_bytes <= max_memory]
    choice = choose(
        [float(p.memory.resident_bytes) for p in good],
        [p.seconds for p in good],
        [p.modelled_latency_s for p in good],
        noise,
    )
    chosen = [good[i] for i in choice.front]
    named = {name: choice.front.index(i) for name, i in choice.named.items()}
    timed = {p.configuration for p in finalists}
    rest = [p for p in finalists if p not in chosen]
    rest += [p for p in points if p.configuration not in timed]
    rest.sort(key=lambda p: (p.memory.resident_bytes, p.configuration.label))
    return Answer(points=(*chosen, *rest), front=tuple(range(len(chosen))), named=named)


def flattered(problem: Problem, finalists: tuple[OperatingPoint, ...]) -> float:
    """Return how much the mean of the preferred finalist owes to having been chosen by its own queries."""
    most = problem.max_memory_bytes()
    good = [p for p in finalists if p.reaches_target and p.memory.resident_bytes <= most]
    memory = [float(p.memory.resident_bytes) for p in good]

    def choose(seconds: Sequence[float]) -> int:
        return name_points(memory, seconds, TIE)[problem.options.prefer]

    shares = np.array([point.hits for point in good]) / problem.options.k
    return flattery(shares, [p.modelled_latency_s for p in good], problem.order, choose)


def recommendation_of(problem: Problem, answer: Answer, luck: float) -> Recommendation:
    """Return the named point that the user prefers, flat.

    Args:
        luck: how much its mean owes to having been chosen by its own queries.
    """
    prefer = problem.options.prefer
    point = answer.points[answer.named[prefer]]
    if point.latency is None:
        raise AssertionError("a recommendation without a latency")
    what, memory = point.configuration, point.memory
    recall = point.recall.mean - luck
    a_vector = memory.resident_bytes / problem.base.n_answers
    return Recommendation(
        M=what.M,
        ef_construction=what.ef_construction,
        ef_search=point.ef_search,
        codec=what.codec,
        dims=what.dims,
        cut=what.cut,
        rerank=what.rerank,
        rerank_factor=what.rerank_factor,
        rerank_at=what.rerank_at,
        recall=recall,
        recall_lower=point.recall.lower,
        memory_bytes=memory.resident_bytes,
        disk_bytes=memory.disk_bytes,
        memory_per_vector_bytes=a_vector,
        latency_mean_s=point.latency.mean_s,
        latency_p50_s=point.latency.p50_s,
        latency_p95_s=point.latency.p95_s,
        latency_p99_s=point.latency.p99_s,
        ndis_per_query=point.ndis_per_query,
        label=what.label,
        sentence=(
            f"{what.label} with ef_search={point.ef_search} finds {recall:.4f} of the true "
            f"{problem.options.k} nearest (at least {point.recall.lower:.4f} with "
            f"{100 * problem.options.confidence:g} % confidence) in {a_vector:.0f} bytes per vector and "
            f"{1e6 * point.latency.p50_s:.0f} us a query (median)."
        ),
    )


def closest(problem: Problem, points: list[OperatingPoint], timed: tuple[OperatingPoint, ...]) -> Answer:
    """Return the answer where nothing meets the constraints: the nearest points first, no names."""
    limit, most_s = problem.max_memory_bytes(), problem.options.max_latency_s

    def distance(point: OperatingPoint) -> tuple[float, float]:
        too_big = max(0.0, point.memory.resident_bytes / limit - 1)
        missing = max(0.0, problem.options.recall - point.recall.lower)
        too_slow = 0.0
        if most_s is not None and point.latency is not None:
            too_slow = max(0.0, point.latency.p95_s / most_s - 1)
        return too_big + missing + too_slow, float(point.memory.resident_bytes)

    known = {p.configuration for p in timed}
    every = [*timed, *(p for p in points if p.configuration not in known)]
    return Answer(points=tuple(sorted(every, key=distance)), front=(), named={})
