"""The policy for queries with filters, frozen: bands, and the right answers of each query in them."""

from __future__ import annotations

from typing import Any

from tuner.types import FrozenBand, FrozenFilters, GateBaseline, Result


def frozen_filters(result: Result, position: int) -> FrozenFilters | None:
    """Return the bands of a run, frozen; None where it has none that can be measured again.

    Args:
        position: the point that is frozen.
    """
    policy = result.filters
    if policy is None or reason_not_frozen(result, position):
        return None
    return FrozenFilters(
        source=policy.source,
        fingerprint=policy.fingerprint,
        n=policy.n,
        scan_below_rows=policy.scan_below_rows,
        bands=tuple(
            FrozenBand(
                least_rows=band.least_rows,
                ef_search=band.ef_search,
                kind=each.kind,
                recall=each.recall.mean,
                hits=each.hits,
            )
            for band in policy.bands
            for each in band.measured
        ),
    )


def reason_not_frozen(result: Result, position: int) -> str:
    """Return in words why bands of filters are not frozen; empty where they are, or there are none.

    Args:
        position: the point that is frozen.
    """
    policy = result.filters
    if policy is None:
        return ""
    if position != result.named[result.options.prefer]:
        return "the policy is of another point, the recommended one"
    if result.queries.held_out_rows:
        return (
            "they were measured before the rows that the queries are were added to the index; give the run "
            "queries of its own with --queries"
        )
    if not all(each.hits and band.least_rows for band in policy.bands for each in band.measured):
        return "the report was written by a version that did not keep their hits; run tune again"
    return ""


def fault_of(baseline: GateBaseline, rounding: float) -> str:
    """Return in words what is wrong with the frozen bands of a file; empty if nothing is."""
    frozen, k = baseline.filters, baseline.k
    if frozen is None:
        return ""
    if not frozen.bands or not 0 < frozen.n <= baseline.n_indexed or frozen.scan_below_rows < 0:
        return "its filters are out of range"
    for band in frozen.bands:
        hits = band.hits
        if not k <= band.least_rows <= frozen.n or (band.ef_search or 1) < 1 or len(hits) < 2:
            return "a band of its filters is out of range"
        mean = sum(hits) / (len(hits) * k)
        if min(hits) < 0 or max(hits) > k or not abs(mean - band.recall) <= rounding:
            return "the hits of a band of its filters do not give its recall"
    return ""


def as_lines(tree: dict[str, Any]) -> None:
    """Write the hits of each band as one line of a tree of builtins; a baseline without bands keeps none."""
    if tree["filters"] is None:
        del tree["filters"]
        return
    for band in tree["filters"]["bands"]:
        band["hits"] = " ".join(str(count) for count in band["hits"])


def from_lines(tree: dict[Any, Any]) -> None:
    """Read such hits again.

    Raises:
        ValueError: they are no numbers.
    """
    filters = tree.get("filters")
    bands = filters.get("bands") if isinstance(filters, dict) else None
    for band in bands if isinstance(bands, list) else ():
        if isinstance(band, dict):
            band["hits"] = [int(count) for count in str(band.get("hits", "")).split()]
