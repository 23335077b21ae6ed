"""Recall by the share that filters allow: under the policy, and at the ef_search without filters."""

from __future__ import annotations

from tuner.report.charts.chart import (
    Chart,
    Row,
    category,
    chart,
    layer,
    quantity,
    target_layers,
    target_rows,
    tooltips,
)
from tuner.report.filters import answered_by, share_text
from tuner.report.words import seconds_text
from tuner.types import BandMeasured, FilterBand, Result

SHOWN = (
    ("share_text", "rows allowed"),
    ("kind", "filters"),
    ("by", "answered by"),
    ("recall_text", "recall"),
    ("time_text", "time a query"),
)


def filters_chart(result: Result) -> Chart | None:
    """Recall by share of the rows that are allowed, a line a way of answering; None without filters."""
    policy = result.filters
    if policy is None:
        return None
    rows = [row for band in policy.bands for each in band.measured for row in _rows(band, each)]
    x = quantity("share", "share of the rows that a filter allows", type_="log", nice_=False, padding_=12)
    y = quantity("recall", f"recall@{result.options.k} among them", nice_=True)
    ways = list(dict.fromkeys(str(row["way"]) for row in rows))
    colour = category("way", None, ways)
    return chart(
        "filters",
        "Recall under filters",
        "With the policy, and with the ef_search of the recommendation without filters. Filters that allow "
        f"fewer than {policy.scan_below_rows:,} rows ({share_text(policy.scan_below_rows / policy.n)}) are "
        "answered by a scan of these rows.",
        datasets={"bands": rows, "target": target_rows(result.options.recall)},
        layers=[
            *target_layers(),
            layer("bands", {"type": "line", "strokeWidth": 1.5, "aria": False}, x=x, y=y, color=colour,
                  order={"field": "share", "type": "quantitative"}),
            layer("bands", {"type": "point", "filled": True, "size": 70, "opacity": 1},
                  x=x, y=y, color=colour, tooltip=tooltips(*SHOWN)),
        ],
        head=("rows allowed", "filters", "answered by", "recall", "time a query"),
        rows=([str(row[field]) for field, _ in SHOWN] for row in rows),
    )  # fmt: skip


def _rows(band: FilterBand, measured: BandMeasured) -> tuple[Row, Row]:
    kind = "" if measured.kind == "given" else f", {measured.kind}"
    with_policy = {
        "way": f"policy{kind}",
        "by": answered_by(band),
        "recall": measured.recall.mean,
        "time_text": seconds_text(measured.latency_s),
    }
    without = {
        "way": f"no policy{kind}",
        "by": "the ef_search without filters",
        "recall": measured.unfiltered_recall.mean,
        "time_text": seconds_text(measured.unfiltered_latency_s),
    }
    of_both = {"share": measured.share, "share_text": share_text(measured.share), "kind": measured.kind}
    with_policy["recall_text"], without["recall_text"] = (
        f"{each['recall']:.4f}" for each in (with_policy, without)
    )
    return {**of_both, **with_policy}, {**of_both, **without}
