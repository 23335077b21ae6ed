"""Targets and limits that nothing could meet, refused before anything is built."""

from __future__ import annotations

from tuner.errors import HopelessTargetError, InputError
from tuner.recall.target import Target, least_queries
from tuner.report.words import bytes_text, seconds_text
from tuner.runtime.timing import call_overhead_s
from tuner.sweep.codec_space import views_in_order
from tuner.sweep.few_rows import SMALL
from tuner.types import Options


def refuse_hopeless_target(options: Options, n_queries: int) -> None:
    """Raise HopelessTargetError if even perfect recall on so many queries could not show the target.

    Raises:
        HopelessTargetError: with the number of queries that would do.
    """
    refuse_certainty(options.recall)
    recall = options.recall
    target = Target(recall=recall, k=options.k, confidence=options.confidence, n_queries=n_queries)

    def best(n: int) -> float:
        return target.of_queries(n).best_bound

    if best(n_queries) >= recall:
        return
    enough = least_queries(lambda n: best(n) >= recall, n_queries)
    raise HopelessTargetError(
        f"recall is {recall:g}, but with {n_queries:,} queries even perfect recall has a lower bound of only "
        f"{best(n_queries):.4f}: give about {enough:,} queries, or a lower target"
    )


def refuse_certainty(recall: float) -> None:
    """Raise HopelessTargetError for a target of 1."""
    if recall >= 1:
        raise HopelessTargetError(
            "recall is 1, but no finite number of queries can show that recall is exactly 1: give a target "
            "below 1, or use exact search (faiss.IndexFlat), which has it"
        )


def refuse_hopeless_limits(options: Options, n: int, d: int) -> None:
    """Raise InputError where no index of the space is so small, or no search so fast.

    Args:
        n: number of indexed vectors.
        d: dimensions of a vector.
    """
    least = smallest_bytes(options, n, d)
    limit = options.memory_limit(n)
    if limit < least:
        raise InputError(
            f"max_memory is {bytes_text(round(limit))}, but codes and links of the smallest index of this "
            f"space take {bytes_text(least)} ({least / n:,.0f} bytes per vector): raise it, or give fewer "
            "vectors"
        )
    if options.max_latency_s is not None and options.max_latency_s < (call_s := call_overhead_s(d)):
        raise InputError(
            f"max_latency is {seconds_text(options.max_latency_s)}, but the call of a search takes "
            f"{seconds_text(call_s)} before it has looked at a vector: raise it"
        )


def smallest_bytes(options: Options, n: int, d: int) -> int:
    """Return the least bytes of codes, links and levels that an index of the space can have."""
    if n <= SMALL:
        return 4 * n * d
    code_bytes = min(view.quantizer.code_bytes for view in views_in_order(options, d))
    return n * (code_bytes + 8 * min(options.space.M) + 12)
