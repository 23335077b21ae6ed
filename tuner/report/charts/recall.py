"""Recall against time for each index, and the recall that was predicted beside the one that was measured."""

from __future__ import annotations

from tuner.report.charts.chart import (
    FAINT,
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
from tuner.report.within import settings_of
from tuner.report.words import predicted_points, seconds_text
from tuner.types import Result, Setting

SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")
SHOWN = (
    ("label", "index"),
    ("ef", "ef_search"),
    ("recall_text", "recall"),
    ("lower_text", "at least"),
    ("time_text", "mean time a query"),
    ("ndis_text", "distances a query"),
)


def recall_chart(result: Result) -> Chart | None:
    """Recall of every ef_search that was measured, by time, a line an index; None where nothing was."""
    rows = [_row(result, setting) for setting in settings_of(result)]
    if not rows:
        return None
    x = quantity("us", "mean time of a query, us (one thread)", type_="log", nice_=False, padding_=12)
    y = quantity("recall", f"recall@{result.options.k}", nice_=True)
    links = sorted({int(row["M"]) for row in rows})
    colour = category("links", None, (f"M = {M}" for M in links))
    codecs = list(dict.fromkeys(str(row["codec"]) for row in rows))
    shape = {
        "field": "codec",
        "type": "nominal",
        "title": None,
        "scale": {"domain": codecs, "range": [SHAPES[i % len(SHAPES)] for i in range(len(codecs))]},
        "legend": {"symbolFillColor": FAINT, "symbolStrokeColor": FAINT, "orient": "bottom"},
    }
    return chart(
        "recall",
        "Recall against time",
        "Each line is one index at every ef_search that was measured; the stroke below a point ends at its "
        f"lower bound ({result.options.confidence:.0%} confidence). Time between timed points follows their "
        "distances.",
        datasets={"settings": rows, "target": target_rows(result.options.recall)},
        layers=[
            *target_layers(),
            layer("settings", {"type": "line", "strokeWidth": 1.5, "aria": False}, x=x, y=y, color=colour,
                  detail={"field": "label", "type": "nominal"},
                  order={"field": "ef", "type": "quantitative"}),
            layer("settings", {"type": "rule", "strokeWidth": 1, "aria": False},
                  x=x, y=y, y2={"field": "lower"}, color=colour),
            layer("settings", {"type": "point", "filled": True, "size": 60, "opacity": 1},
                  x=x, y=y, color=colour, shape=shape, tooltip=tooltips(*SHOWN)),
        ],
        head=("index", "ef_search", "recall", "at least", "mean time", "distances"),
        rows=([str(row[field]) for field, _ in SHOWN] for row in rows),
    )  # fmt: skip


def predicted_chart(result: Result) -> Chart | None:
    """Predicted against measured recall of each point; None where nothing was predicted."""
    positions = predicted_points(result)
    if not positions:
        return None
    rows: list[Row] = []
    for position in positions:
        point = result.points[position]
        predicted, measured = point.predicted_recall or 0.0, point.recall.mean
        rows.append(
            {
                "position": position,
                "label": point.configuration.label,
                "codec": point.configuration.codec,
                "ef": point.ef_search,
                "predicted": predicted,
                "measured": measured,
                "predicted_text": f"{predicted:.4f}",
                "measured_text": f"{measured:.4f}",
                "error_text": f"{predicted - measured:+.4f}",
            }
        )
    both = [float(row[name]) for row in rows for name in ("predicted", "measured")]
    low, high = min(both) - 0.002, max(both) + 0.002
    line = [{"predicted": end, "measured": end} for end in (low, high)]
    x = quantity("predicted", "predicted recall", domain_=[low, high], nice_=False, axis={"tickCount": 5})
    y = quantity("measured", "measured recall", domain_=[low, high], nice_=False, axis={"tickCount": 5})
    shown = (
        ("label", "index"),
        ("ef", "ef_search"),
        ("predicted_text", "predicted"),
        ("measured_text", "measured"),
        ("error_text", "error"),
    )
    colour = category("codec", None, (str(row["codec"]) for row in rows))
    error = (
        "" if result.prediction_error is None else f" On average it was off by {result.prediction_error:.4f}."
    )
    return chart(
        "predicted",
        "Predicted against measured",
        f"Predictions only choose what is measured. On the line they were right.{error}",
        datasets={"points": rows, "right": line},
        layers=[
            layer("right", {"type": "line", "color": FAINT, "strokeDash": [4, 3], "aria": False}, x=x, y=y),
            layer("points", {"type": "point", "filled": True, "size": 90, "opacity": 1},
                  x=x, y=y, color=colour, tooltip=tooltips(*shown)),
        ],
        head=("index", "ef_search", "predicted", "measured", "error"),
        rows=([str(row[field]) for field, _ in shown] for row in rows),
        height=260,
    )  # fmt: skip


def _row(result: Result, setting: Setting) -> Row:
    what = result.points[setting.position].configuration
    return {
        "position": setting.position,
        "label": setting.label,
        "codec": what.codec,
        "M": what.M,
        "links": f"M = {what.M}",
        "ef": setting.ef_search,
        "us": 1e6 * setting.seconds,
        "recall": setting.recall,
        "lower": setting.lower,
        "recall_text": f"{setting.recall:.4f}",
        "lower_text": f"{setting.lower:.4f}",
        "time_text": f"{seconds_text(setting.seconds)}{'' if setting.timed else ' (modelled)'}",
        "ndis_text": f"{setting.ndis_per_query:,.0f}",
    }
