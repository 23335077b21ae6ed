"""From a policy for filtered search to an engine's settings, and what exported files say of them."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

from tuner.engines.filtering import FilterMeans
from tuner.engines.protocol import Capabilities
from tuner.types import (
    EngineConfig,
    FilterBand,
    FilterConfig,
    FilterPolicy,
    FilterStep,
    OperatingPoint,
    Result,
)

TAGS = "tags"
"""Column, field or attribute that stands in exported files for what the user filters by."""


def with_filters(
    can: Capabilities, config: EngineConfig, result: Result, point: OperatingPoint, least_ef: int
) -> EngineConfig:
    """Return the settings of a point with the policy for filtered search, if the run had one for its graph.

    The policy is of the recommended index. Another one of the same graph, with other codes, needs more by as
    much as it needs more without filters.

    Args:
        least_ef: smallest ef_search that returns what is asked.
    """
    of_policy, policy = result.named.get(result.options.prefer), result.filters
    if policy is None or of_policy is None:
        return config
    best = result.points[of_policy]
    if _graph(best) != _graph(point):
        return config
    more = 1.0 if best.configuration == point.configuration else max(1.0, point.ef_search / best.ef_search)
    bands = tuple(
        replace(band, ef_search=None if band.ef_search is None else ceil(more * band.ef_search))
        for band in policy.bands
    )
    found = filter_config(can, replace(policy, bands=bands), least_ef, config.ef_search)
    label = best.configuration.label
    return replace(config, filters=None if found is None else replace(found, label=label))


def _graph(point: OperatingPoint) -> tuple[int, int, str]:
    what = point.configuration
    return what.M, what.ef_construction, what.cut


def filter_config(
    can: Capabilities, policy: FilterPolicy, least_ef: int, unfiltered_ef: int
) -> FilterConfig | None:
    """Return how the engine is searched with filters; None where its file says nothing of that.

    faiss counts every row that a search comes upon. An engine that counts the allowed ones only comes upon as
    many rows with that number times the share, and is not searched with less than without a filter: then it
    may end where all neighbours are allowed. Bands whose ef_search the engine does not take are scanned.

    Args:
        can: what the engine can express.
        policy: policy that was measured in faiss.
        least_ef: smallest ef_search that returns what is asked.
        unfiltered_ef: ef_search without a filter.
    """
    if can.filters is None:
        return None
    steps: list[FilterStep] = []
    below = policy.scan_below_rows
    for band in policy.bands:
        if band.ef_search is None:
            break
        wanted = max(least_ef, _ef_in_engine(can.filters, band, unfiltered_ef))
        if wanted > can.ef_search[1]:
            above = steps[-1].least_share if steps else 1.0
            below = max(below, ceil(above * policy.n) + (not steps))
            break
        steps.append(FilterStep(least_share=band.least_share, ef_search=wanted))
    return FilterConfig(steps=tuple(steps), scan_below_rows=below, n=policy.n)


def _ef_in_engine(means: FilterMeans, band: FilterBand, unfiltered_ef: int) -> int:
    ef_search = band.ef_search or 0
    if means.ef_counts == "every row":
        return ef_search
    share = max((each.share for each in band.measured), default=1.0)
    return max(unfiltered_ef, ceil(share * ef_search))


def narrowest_ef(config: EngineConfig) -> int:
    """Return the ef_search of the narrowest filters that are not scanned, which all others may take too."""
    largest = None if config.filters is None else config.filters.largest_ef
    return config.ef_search if largest is None else largest


def narrowed(config: EngineConfig) -> EngineConfig | None:
    """Return the config for the narrowest filters that are not scanned; None where none were measured."""
    return None if config.filters is None else replace(config, ef_search=narrowest_ef(config))


def by_share(config: EngineConfig, name: str) -> list[dict[str, Any]]:
    """Return ef_search by the share of the rows that a filter allows, under the engine's own name of it."""
    steps = () if config.filters is None else config.filters.steps
    return [{"least_share": _rounded(step.least_share), name: step.ef_search} for step in steps]


def describe_steps(config: EngineConfig, name: str) -> list[str]:
    """Return the same as lines of a comment, the scan included.

    Args:
        config: config with filters.
        name: the engine's name of ef_search.
    """
    if config.filters is None:
        return []
    steps = [
        f"filters that allow {100 * step.least_share:.3g}% of the rows or more: {name} = {step.ef_search}"
        for step in config.filters.steps
    ]
    return [*steps, f"filters that allow fewer than {config.filters.scan_below_rows:,} rows: scan these rows"]


def filtered_search(config: EngineConfig, name: str, search: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return what a file in JSON says of filtered search; nothing where no filters were measured.

    Args:
        config: config of the index.
        name: the engine's name of ef_search.
        search: search with a filter.
        more: anything else that belongs to it.
    """
    if config.filters is None:
        return {}
    whole = {
        "by_share": by_share(config, name),
        "scan_below_rows": config.filters.scan_below_rows,
        "search": search,
        **more,
    }
    return {"filtered_search": whole}


def describe_filters(can: Capabilities, config: EngineConfig) -> list[str]:
    """Return what has to be known of filtered search, a sentence each; none without filters."""
    means, filters = can.filters, config.filters
    if means is None or filters is None:
        return []
    lines = [
        f"filtered search ({TAGS} stands for what you filter by): {means.how}",
        f"few rows that are allowed: {means.scans}",
        *describe_steps(config, "ef_search"),
        *([f"that policy was measured with {filters.label} in faiss"] if filters.label else []),
    ]
    if means.ef_counts == "allowed rows":
        lines.append(
            "its ef_search counts the allowed rows only, and what was measured in faiss counts every row "
            "that the search comes upon: here stands the measured one times the share, and never less than "
            "without a filter"
        )
    if means.cannot:
        lines.append(f"it cannot: {means.cannot}")
    return lines


def _rounded(share: float) -> float:
    return float(f"{share:.4g}")
