"""Which codecs are ruled out, and why: what is known of others bounds what can be hoped of one.

A reason is a sentence for the report; an empty one means that nothing speaks against the codec.
"""

from __future__ import annotations

from dataclasses import replace

from tuner.index.codec_view import CodecView
from tuner.index.codecs import Quantizer
from tuner.prediction.pareto import dominated_by_more_than, front
from tuner.prediction.surface import Candidate
from tuner.runtime.timing import WIDE
from tuner.sweep.codec_context import CodecContext, CodecLedger, candidates_of, guess_cost, set_cost
from tuner.sweep.codec_space import family
from tuner.sweep.judged_codes import n_encoded
from tuner.types import Ceiling

TRUNCATION_LOSS = 0.005
"""Truncation needs no matrix, so it is preferred to PCA unless it loses more recall than this."""
SLACK = 0.10
"""Share by which a predicted latency may be too high when a codec is left out because of it."""
RERANKED_SLACK = -0.15
"""With re-ranking such a gain is asked for: predictions were seen to err on the low side only."""
SLOW_SLACK = -0.25
"""A codec that takes seconds to train or to encode must promise at least this gain."""
HALF_THE_BYTES_LOSS = 0.02
"""A codec of at most half the bytes of one that misses the aim by this much is not hoped to reach it."""
LEFT_BY_ROTATION = 0.7
"""Share of a product codec's misses that are surely left when vectors are rotated for it."""
BEATEN = "another codec takes less memory and less time"
USELESS_CUT = "no codec could win at this cut even if it lost nothing"


def unknown_ceiling(view: CodecView) -> Ceiling:
    """Return the ceiling of a codec that nothing is known of."""
    return Ceiling(
        codec=view.codec,
        dims=view.dims,
        cut=view.cut,
        code_bytes=view.quantizer.code_bytes,
        recall_at={},
        train_s=0.0,
    )


def ruled_out(context: CodecContext, ledger: CodecLedger, view: CodecView) -> str:
    """Return why a codec is not even trained whoever asks for it, or an empty string.

    Judging it costs too much, or it would only say of a cut of wide vectors what no codec could use.
    """
    base, kernel = context.problem.base, context.kernels.get(view)
    if context.problem.options.exhaustive or view == CodecView("fp32", base.d):
        return ""
    n = n_encoded(len(context.shallow.rows), base.n)
    encoding_s = 0.0 if kernel is None else kernel.encode_s * n
    if dear := context.limits.too_dear(view.quantizer, view.projection, base.d, n, encoding_s):
        return dear
    if used_up := context.limits.used_up(ledger.spent_s):
        return used_up
    if base.d < WIDE or view.codec != "fp32" or view.cut == "none":
        return ""
    same_cut = [other for other in context.kernels if other.projection == view.projection]
    return "" if any(not hopeless_cost(context, ledger, other) for other in same_cut) else USELESS_CUT


def hopeless_projection(context: CodecContext, ledger: CodecLedger, view: CodecView) -> str:
    """Return why a cut is of no use, judged by float32 on it, or an empty string."""
    if view.cut == "none" or view.codec == "fp32":
        return ""
    exact = next((c for c in ledger.ceilings if CodecView.of(c) == replace(view, codec="fp32")), None)
    if exact is None or not exact.recall_at:
        return ""
    if max(exact.recall_at.values()) < context.problem.aim:
        return f"float32 at this cut reaches {max(exact.recall_at.values()):.4f} at best"
    for rival in ledger.ceilings:
        same_dims = rival.codec == "fp32" and rival.dims == view.dims and rival.recall_at
        if not same_dims or rival.cut in ("none", view.cut):
            continue
        allowed = TRUNCATION_LOSS if view.cut == "truncate" else -TRUNCATION_LOSS
        if rival.recall_at[1] > exact.recall_at[1] + allowed:
            return f"{rival.cut} to {view.dims} dimensions keeps more recall"
    return ""


def hopeless_cost(context: CodecContext, ledger: CodecLedger, view: CodecView) -> str:
    """Return why even the best that can be hoped for would not help this codec, or an empty string."""
    set_cost(context, ledger, view, *guess_cost(context, ledger, view))
    unknown = unknown_ceiling(view)
    best, with_store = hope(context, ledger, unknown)
    hoped = candidates_of(context, ledger, replace(unknown, recall_at=best, recall_with=with_store))
    if not hoped:
        return "its own loss leaves a graph more to find than the curves were followed for"
    codec = view.quantizer
    return f"even without any loss of its own {BEATEN}" if is_beaten(ledger, codec, hoped) else ""


def is_beaten(ledger: CodecLedger, codec: Quantizer, found: list[Candidate]) -> bool:
    """Return whether what is known beats all of a codec's candidates."""
    if not ledger.known:
        return False
    if codec.is_slow:
        slacks = [SLOW_SLACK] * len(found)
    else:
        slacks = [RERANKED_SLACK if c.configuration.rerank else SLACK for c in found]
    for slack in set(slacks):
        mine = [c for c, its in zip(found, slacks, strict=True) if its == slack]
        beaten = dominated_by_more_than(
            [c.memory.resident_bytes for c in mine],
            [c.latency_s for c in mine],
            [c.memory.resident_bytes for c in ledger.known],
            [c.latency_s for c in ledger.known],
            slack,
        )
        if not beaten.all():
            return False
    return True


def hope(
    context: CodecContext, ledger: CodecLedger, unknown: Ceiling
) -> tuple[dict[int, float], dict[str, dict[int, float]]]:
    """Return the best ceilings to hope for, by factor and by store and factor.

    No codec keeps more than float32 on the same projection, nor more than a finer codec of its family; a
    rotated product codec is hoped to lose 0.7 of what the plain one does. And one of at most half the
    bytes of a codec that clearly misses the aim without re-ranking misses it too.
    """
    factors = (1, *(factor for factor in context.problem.options.space.rerank_factors if factor > 1))
    best = dict.fromkeys(factors, 1.0)
    with_store = {store: dict.fromkeys(factors, 1.0) for store in context.stores}
    view = CodecView.of(unknown)
    for known in ledger.ceilings:
        other = CodecView.of(known)
        if other.projection != view.projection or not known.recall_at:
            continue
        finer = family(known.codec) == family(unknown.codec) and known.code_bytes > unknown.code_bytes
        if known.codec == "fp32" or finer:
            for factor, recall in known.recall_at.items():
                best[factor] = min(best[factor], recall)
            for store, recalls in known.recall_with.items():
                for factor, recall in recalls.items():
                    with_store[store][factor] = min(with_store[store][factor], recall)
        if other == view.unrotated != view:
            for factor, recall in known.recall_at.items():
                best[factor] = min(best[factor], 1 - LEFT_BY_ROTATION * (1 - recall))
        clearly_misses = known.recall_at[1] < context.problem.aim - HALF_THE_BYTES_LOSS
        if clearly_misses and 2 * unknown.code_bytes <= known.code_bytes:
            best[1] = 0.0
    return best, with_store


def front_of(found: list[Candidate]) -> list[Candidate]:
    """Return the candidates that no other beats in memory and latency."""
    on_front = front([c.memory.resident_bytes for c in found], [c.latency_s for c in found])
    return [found[i] for i in on_front]
