"""The few points that could be the answer: which are worth timing, and how surely all of them must hold."""

from __future__ import annotations

from tuner.prediction.pareto import dominated_by_more_than
from tuner.recall.together import quantile_for_choice
from tuner.sweep.problem import Problem
from tuner.types import OperatingPoint

SLACK = 0.08
"""Modelled latencies may be this far off: points inside it are timed."""

MOST_FINALISTS = 6


def choose_finalists(points: list[OperatingPoint], max_memory: float) -> list[OperatingPoint]:
    """Return the points worth timing: those that are certified and that no other clearly beats."""
    kept = _standing(points, max_memory, SLACK)
    kept.sort(key=lambda p: (p.memory.resident_bytes * p.modelled_latency_s, p.configuration.label))
    chosen = kept[:MOST_FINALISTS]
    for extreme in (lambda p: p.memory.resident_bytes, lambda p: p.modelled_latency_s):
        if kept and (least := min(kept, key=extreme)) not in chosen:
            chosen.append(least)
    return sorted(chosen, key=lambda p: (p.configuration.codec, p.configuration.dims, p.configuration.label))


def quantile_of(problem: Problem, points: list[OperatingPoint]) -> float:
    """Return how many standard errors below its mean each point has its bound, so that all hold together.

    No clock takes part, so that the same data give the same bound: time is by distances or by bytes read.
    """
    good = [p for p in points if p.reaches_target and p.memory.resident_bytes <= problem.max_memory_bytes()]
    return quantile_for_choice(
        [point.hits for point in good],
        [point.memory.resident_bytes for point in good],
        ([point.ndis_per_query for point in good], [point.bytes_read_per_query for point in good]),
        problem.target,
        problem.options.seed,
    )


def _standing(points: list[OperatingPoint], max_memory: float, slack: float) -> list[OperatingPoint]:
    """Return certified points within the limit that no other beats by more than ``slack`` of the time."""
    good = [p for p in points if p.reaches_target and p.memory.resident_bytes <= max_memory]
    memory = [p.memory.resident_bytes for p in good]
    latency = [p.modelled_latency_s for p in good]
    beaten = dominated_by_more_than(memory, latency, memory, latency, slack)
    return [point for point, lost in zip(good, beaten, strict=True) if not lost]
