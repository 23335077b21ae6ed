"""What would help where nothing meets the target, and what another option would save where something does."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tuner.prediction.surface import Candidate
from tuner.recall.target import Target
from tuner.report.words import bytes_text, seconds_text, too_few_queries_text
from tuner.sweep.problem import Problem
from tuner.types import Ceiling, OperatingPoint, Options, Profile

LEAST_SAVED = 0.01
"""Share of the distances from which on more queries are worth a word."""
MANY_COPIES = 0.03
"""Share of rows that repeat another from which on collapsing them is worth a word."""


def advice_not_reached(
    problem: Problem, points: list[OperatingPoint], ceilings: tuple[Ceiling, ...]
) -> list[str]:
    """Return what would help, by the constraint that it would relax."""
    reached = [p for p in points if p.reaches_target or _meets_recall(problem, p)]
    if reached:
        return [*_relaxed_memory(problem, reached), *_relaxed_latency(problem, reached)]
    best_ceiling = max((max(c.recall_at.values()) for c in ceilings if c.recall_at), default=0.0)
    if best_ceiling < problem.aim:
        return [
            "finer codecs, a finer re-ranking store or larger rerank_factors: an exhaustive scan with the "
            f"best of this space reaches {best_ceiling:.4f}"
        ]
    return _relaxed_recall(problem, points)


def _relaxed_memory(problem: Problem, reached: list[OperatingPoint]) -> list[str]:
    limit = problem.max_memory_bytes()
    least = min(reached, key=lambda p: p.memory.resident_bytes)
    if least.memory.resident_bytes <= limit:
        return []
    a_vector = math.ceil(least.memory.resident_bytes / problem.base.n_answers)
    return [
        f"a memory limit of {a_vector}B/vector ({bytes_text(least.memory.resident_bytes)}) instead of "
        f"{bytes_text(limit)}: {least.configuration.label} with ef_search={least.ef_search} "
        "then meets the target"
    ]


def _relaxed_latency(problem: Problem, reached: list[OperatingPoint]) -> list[str]:
    most_s = problem.options.max_latency_s
    timed = [(p.latency.p95_s, p) for p in reached if p.latency is not None]
    if most_s is None or not timed:
        return []
    p95_s, fastest = min(timed, key=lambda each: each[0])
    if p95_s <= most_s:
        return []
    return [
        f"a p95 limit of {seconds_text(p95_s)} instead of {seconds_text(most_s)}: "
        f"{fastest.configuration.label} then meets it"
    ]


def _relaxed_recall(problem: Problem, points: list[OperatingPoint]) -> list[str]:
    options, advice = problem.options, []
    best = max((p.recall.lower for p in points), default=0.0)
    if best > 0:
        advice.append(f"a target of {best:.3f}, the best lower bound that was measured")
    near = max((p.recall for p in points), key=lambda recall: recall.mean, default=None)
    enough = None if near is None else problem.target.queries_to_show(near)
    if near is not None and enough is not None:
        advice.append(
            "more queries, for the best that was measured: "
            + too_few_queries_text(near, options.recall, problem.n_queries, enough)
        )
    advice.append(
        f"a space with ef_construction above {options.space.ef_construction} or ef_search_max above "
        f"{options.space.ef_search_max}; exact search (faiss.IndexFlat) always reaches it"
    )
    return advice


def _meets_recall(problem: Problem, point: OperatingPoint) -> bool:
    return problem.certified(point.recall)


def collapse_hint(options: Options, profile: Profile) -> str | None:
    """Return one line on rows that repeat another where they are many and not collapsed, or None."""
    share = profile.n_duplicate_rows / profile.n
    if options.duplicates == "collapse" or share < MANY_COPIES:
        return None
    return (
        f"--duplicates collapse: {profile.n_duplicate_rows:,} rows ({share:.1%}) repeat another, and the "
        f"largest group has {profile.largest_duplicate_group:,}; one node for each distinct row, with a list "
        "of its copies, would save memory, and distances where groups are large (not measured)"
    )


def disk_hint(problem: Problem, on_disk: list[Candidate], recommended: OperatingPoint) -> str | None:
    """Return one line on what a re-ranking store on disk is predicted to save, or None."""
    useful = [
        c
        for c in on_disk
        if c.configuration.rerank and c.memory.resident_bytes < 0.9 * recommended.memory.resident_bytes
    ]
    if not useful:
        return None
    best, n = min(useful, key=lambda c: (c.memory.resident_bytes, c.latency_s)), problem.base.n_answers
    return (
        f"--rerank-store disk: {best.configuration.label} with ef_search={best.ef_search} is predicted "
        f"(not measured) to keep {best.memory.resident_bytes / n:.0f} B/vector in memory "
        f"instead of {recommended.memory.resident_bytes / n:.0f}, "
        f"with {bytes_text(best.memory.disk_bytes)} on disk "
        f"and {problem.options.k * best.configuration.rerank_factor} random reads a query"
    )


def more_queries_hint(
    target: Target, chosen: OperatingPoint, predict: Callable[[float], Candidate | None]
) -> str | None:
    """Return one line on what more queries are predicted to buy, or None where nothing is known.

    Args:
        chosen: the recommended point.
        predict: what its configuration is predicted to need for a mean recall.
    """
    hits = np.array(chosen.hits, dtype=np.int64)
    targets = [target.of_queries(times * target.n_queries) for times in (1, 2, 4)]
    now, *more = [predict(each.aim_of(hits)) for each in targets]
    if now is None or chosen.latency is None or None in more:
        return None
    parts: list[str] = []
    for word, each, then in zip(("twice", "four times"), targets[1:], filter(None, more), strict=True):
        saved = 1 - then.ndis / now.ndis
        if not parts and saved < LEAST_SAVED:
            return (
                f"{word} as many queries ({each.n_queries:,}) would save less than {LEAST_SAVED:.0%} of the "
                "distances a query, as predicted (not measured): these are enough"
            )
        ef_search = max(target.k, round(chosen.ef_search * then.ef_search / now.ef_search))
        seconds = chosen.latency.p50_s * then.latency_s / now.latency_s
        parts.append(
            f"with {word} as many ({each.n_queries:,}) ef_search={ef_search}, {seconds_text(seconds)} a "
            f"query and {saved:.0%} fewer distances"
        )
    return (
        f"more queries would leave less to chance: {chosen.configuration.label} is predicted (not measured) "
        f"to need {'; '.join(parts)}"
    )
