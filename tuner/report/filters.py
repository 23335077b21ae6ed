"""Filtered search in words: how each band of filters is answered, and what no policy would have found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tuner.report.tables import plain, prose, table
from tuner.report.words import seconds_text
from tuner.text import counted
from tuner.types import BandMeasured, FilterBand, FilterPolicy, Result

HEADS = (
    *("rows allowed", "filters", "answered by", "recall", "at least", "time a query"),
    *("recall without a policy", "time without"),
)


def filters_sentence(result: Result) -> str:
    """How queries with filters are answered; empty where none were asked for."""
    policy = result.filters
    if policy is None:
        return ""
    missed = [band for band in policy.bands if not band.reaches_target]
    worst = min(lowest_unfiltered(policy), default=None)
    held = (
        f"every one of {counted(len(policy.bands), 'band')} reaches the target"
        if not missed
        else f"{len(missed)} of {counted(len(policy.bands), 'band')} miss the target"
    )
    how = (
        f"fewer than {policy.scan_below_rows:,} rows allowed "
        f"({share_text(policy.scan_below_rows / policy.n)}) are scanned, others are searched with the "
        "ef_search of their band"
    )
    if policy.scan_below_rows > policy.n:
        how = "the rows that a filter allows are always scanned"
    text = f"With filters ({policy.source}), {held}: {how}."
    if worst is not None and worst < result.options.recall:
        text += f" The ef_search without filters would have found {worst:.4f} in the worst of them."
    if policy.n_left_out:
        left_out = counted(policy.n_left_out, "query", "queries")
        text += f" Left out: {left_out} whose filters allow fewer than k={result.options.k} rows."
    return text


def lowest_unfiltered(policy: FilterPolicy) -> list[float]:
    """Recall that the ef_search without filters finds, of each band and kind of filter."""
    return [each.unfiltered_recall.mean for band in policy.bands for each in band.measured]


def share_text(share: float) -> str:
    """A share of the rows as per cent.

    >>> share_text(0.5), share_text(0.0213), share_text(0.00512)
    ('50 %', '2.1 %', '0.51 %')
    """
    return f"{100 * share:.2g} %"


def filters_table(result: Result) -> Iterator[str]:
    """Each band with what was measured in it, as lines of Markdown; none without filters."""
    policy = result.filters
    if policy is None:
        return
    yield from table(HEADS, (_row(band, each) for band in policy.bands for each in band.measured))
    yield (
        f"\n{prose(plain(filters_sentence(result)))} Bounds hold for all bands together "
        f"({result.options.confidence:.0%}). Times are means of one query at a time, the making of the "
        "selector included."
    )
    yield "\n```python\n" + "\n".join(filtered_lines(result)) + "\n```"


def filtered_lines(result: Result) -> tuple[str, ...]:
    """Lines of Python that search the index written under a filter."""
    return (
        "from tuner.search import FilteredIndex",
        'index = FilteredIndex.load(".")  # index.faiss and recommended.yaml',
        f"distances, ids = index.search(queries, {result.options.k}, allowed=rows)  # of ids that may answer",
    )


def filters_settings(result: Result) -> dict[str, Any]:
    """The policy as part of ``recommended.yaml``, empty without one."""
    policy = result.filters
    if policy is None:
        return {}
    bands = [
        {
            "least_share": round(band.least_share, 6),
            "ef_search": band.ef_search,
            "recall": round(min(each.recall.mean for each in band.measured), 4),
            "recall_lower": round(min(each.recall.lower for each in band.measured), 4),
        }
        for band in policy.bands
    ]
    return {"filters": {"scan_below_rows": policy.scan_below_rows, "bands": bands}}


def answered_by(band: FilterBand) -> str:
    """What answers the queries of a band."""
    return "scan" if band.ef_search is None else f"ef_search={band.ef_search}"


def _row(band: FilterBand, measured: BandMeasured) -> tuple[str, ...]:
    missed = "" if band.reaches_target else " (missed)"
    return (
        share_text(measured.share),
        measured.kind,
        answered_by(band),
        f"{measured.recall.mean:.4f}{missed}",
        f"{measured.recall.lower:.4f}",
        seconds_text(measured.latency_s),
        f"{measured.unfiltered_recall.mean:.4f}",
        seconds_text(measured.unfiltered_latency_s),
    )
