"""Charts of a check: recall over the baselines, and the queries that changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tuner.report.charts.chart import (
    ACCENT,
    COLOURS,
    FAINT,
    Chart,
    Row,
    Spec,
    chart,
    layer,
    quantity,
    tooltips,
)
from tuner.report.words import bytes_text
from tuner.types import CheckResult, GateBaseline

NOW = "this check"


def history_chart(history: Sequence[GateBaseline], result: CheckResult) -> Chart:
    """Recall of each baseline in its order, and of this check as the last one."""
    rows = [_row(number, each, each.created[:10]) for number, each in enumerate(history, start=1)]
    now = result.updated
    rows.append({**_row(len(rows) + 1, now, NOW), "recall": result.recall.mean, "lower": result.recall.lower,
                 "recall_text": f"{result.recall.mean:.4f}", "lower_text": f"{result.recall.lower:.4f}",
                 "label": result.label, "ndis_text": f"{result.ndis_per_query:,.0f}",
                 "bytes_text": bytes_text(result.index_bytes)})  # fmt: skip
    x: Spec = {
        "field": "key",
        "type": "ordinal",
        "title": None,
        "sort": [row["key"] for row in rows],
        "axis": {"labelExpr": "slice(datum.label, indexof(datum.label, ' ') + 1)", "labelAngle": 0,
                 "labelOverlap": "parity"},
    }  # fmt: skip
    y = quantity("recall", f"recall@{now.k}", nice_=True)
    shown = (
        ("when", "when"),
        ("label", "index"),
        ("recall_text", "recall"),
        ("lower_text", "at least"),
        ("target_text", "target"),
        ("ndis_text", "distances a query"),
        ("bytes_text", "memory"),
    )
    return chart(
        "history",
        "Recall over the baselines",
        "Each point is a baseline that was frozen, the last one what was measured now; the stroke below it "
        "ends at its lower bound. The broken line is the target.",
        datasets={"baselines": rows},
        layers=[
            layer("baselines", {"type": "line", "interpolate": "step", "strokeDash": [4, 3], "color": FAINT,
                                "aria": False}, x=x, y=quantity("target", None)),
            layer("baselines", {"type": "line", "color": COLOURS[0], "strokeWidth": 1.5, "aria": False},
                  x=x, y=y),
            layer("baselines", {"type": "rule", "color": COLOURS[0], "aria": False},
                  x=x, y=y, y2={"field": "lower"}),
            layer("baselines", {"type": "point", "filled": True, "size": 90, "opacity": 1},
                  x=x, y=y,
                  color={"field": "kind", "type": "nominal", "title": None, "legend": None,
                         "scale": {"domain": ["baseline", NOW], "range": [COLOURS[0], ACCENT]}},
                  tooltip=tooltips(*shown)),
        ],
        head=[heading for _, heading in shown],
        rows=([str(row[field]) for field, _ in shown] for row in rows),
        height=260,
    )  # fmt: skip


def _row(number: int, each: GateBaseline, when: str) -> Row:
    return {
        "key": f"{number} {when}",
        "when": when,
        "kind": NOW if when == NOW else "baseline",
        "label": each.label,
        "recall": each.measured_recall,
        "lower": each.measured_lower,
        "target": each.recall,
        "recall_text": f"{each.measured_recall:.4f}",
        "lower_text": f"{each.measured_lower:.4f}",
        "target_text": f"{each.recall:g}",
        "ndis_text": f"{each.ndis_per_query:,.0f}",
        "bytes_text": bytes_text(each.bytes.get("total", 0)),
    }


def changed_chart(before: GateBaseline, result: CheckResult) -> Chart | None:
    """How many queries gained or lost right answers; None where others were asked, or none changed."""
    if len(before.hits) != len(result.hits):
        return None
    counts = Counter(now - then for then, now in zip(before.hits, result.hits, strict=True))
    rows: list[Row] = [
        {
            "change": change,
            "change_text": f"{change:+d}",
            "n": n,
            "n_text": f"{n:,}",
            "kind": "lost" if change < 0 else "gained",
        }
        for change, n in sorted(counts.items())
        if change
    ]
    if not rows:
        return None
    shown = (("change_text", "right answers"), ("n_text", "queries"))
    return chart(
        "changed",
        "Queries that changed",
        f"{len(result.hits) - counts[0]:,} of {len(result.hits):,} queries have another number of right "
        "answers than when the baseline was frozen.",
        datasets={"changes": rows},
        layers=[
            layer("changes", {"type": "bar"},
                  x={"field": "change", "type": "ordinal", "title": "right answers more or less",
                     "axis": {"labelAngle": 0}},
                  y=quantity("n", "queries", zero_=True),
                  color={"field": "kind", "type": "nominal", "title": None, "legend": None,
                         "scale": {"domain": ["lost", "gained"], "range": [ACCENT, COLOURS[0]]}},
                  tooltip=tooltips(*shown)),
        ],
        head=[heading for _, heading in shown],
        rows=([str(row[field]) for field, _ in shown] for row in rows),
        height=220,
    )  # fmt: skip
