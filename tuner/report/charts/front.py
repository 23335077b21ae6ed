"""The front: memory against time of every point that was measured."""

from __future__ import annotations

from tuner.report.charts.chart import (
    ACCENT,
    FAINT,
    INK,
    Chart,
    Row,
    Spec,
    category,
    chart,
    layer,
    quantity,
    tooltips,
)
from tuner.report.words import bytes_text, names_of, recall_text, recommended_point, seconds_text
from tuner.types import Result

TITLE = "Memory against time"
SHOWN = (
    ("label", "index"),
    ("ef", "ef_search"),
    ("recall_text", "recall"),
    ("memory_text", "memory"),
    ("time_text", "mean time a query"),
    ("names", "named"),
)
SHAPES = {"on the front": "circle", "reaches the target": "diamond", "misses the target": "cross"}


def front_chart(result: Result) -> Chart | None:
    """Every measured point by its time and memory; None where nothing was measured."""
    if not result.points:
        return None
    rows = [_row(result, position) for position in range(len(result.points))]
    x = quantity("us", "mean time of a query, us (one thread)", nice_=True, padding_=14)
    y = quantity("per_vector", "memory, bytes a vector", nice_=True, padding_=14)
    middle = (min(float(row["us"]) for row in rows) + max(float(row["us"]) for row in rows)) / 2
    front = sorted((rows[i] for i in result.front), key=lambda row: float(row["us"]))
    codec = category("codec", None, (str(row["codec"]) for row in rows), legend={"symbolType": "square"})
    shape = {
        "field": "standing",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(SHAPES), "range": list(SHAPES.values())},
        "legend": {"symbolFillColor": FAINT, "symbolStrokeColor": FAINT, "orient": "bottom"},
    }
    chosen = recommended_point(result)
    layers: list[Spec] = [
        layer("front", {"type": "line", "interpolate": "step-after", "color": FAINT, "strokeDash": [4, 3]},
              x=x, y=y),
        layer("points", {"type": "point", "filled": True, "size": 110, "opacity": 1, "cursor": "pointer"},
              x=x, y=y, color=codec, shape=shape, tooltip=tooltips(*SHOWN)),
        {
            **layer("points", {"type": "point", "filled": False, "size": 420, "strokeWidth": 2.5,
                               "color": ACCENT, "tooltip": None, "aria": False}, x=x, y=y),
            "transform": [{"filter": "datum.position == chosen"}],
        },
        *(
            layer(f"names_{side}", {"type": "text", "align": side, "dx": shift, "dy": -12, "color": INK,
                                    "aria": False}, x=x, y=y, text={"field": "names", "type": "nominal"})
            for side, shift in (("left", 12), ("right", -12))
        ),
    ]  # fmt: skip
    named = [row for row in rows if row["names"]]
    datasets: dict[str, list[Row]] = {
        "points": rows,
        "front": front,
        "names_left": [row for row in named if float(row["us"]) <= middle],
        "names_right": [row for row in named if float(row["us"]) > middle],
    }
    caption = "Down and to the left is better. "
    if result.baseline is not None:
        datasets["reference"] = [_reference(result)]
        layers.append(
            layer(
                "reference",
                {"type": "point", "shape": "triangle-up", "size": 110, "color": FAINT, "filled": True},
                x=x,
                y=y,
                tooltip=tooltips(*SHOWN[:-1]),
            )
        )
        caption += "The triangle is the index that most people have, at the same recall. "
    caption += "The ring is around the choice, the broken line joins the front."
    return chart(
        "front",
        TITLE,
        caption if chosen is not None else caption.replace("The ring is around the choice, t", "T"),
        datasets=datasets,
        layers=layers,
        params=[{"name": "chosen", "value": -1 if chosen is None else chosen}],
        resolve={"legend": {"color": "independent", "shape": "independent"}},
        head=("index", "ef_search", "recall", "memory", "bytes a vector", "mean time", "standing", "named"),
        rows=(
            (
                str(row["label"]),
                str(row["ef"]),
                str(row["recall_text"]),
                str(row["memory_text"]),
                f"{row['per_vector']:,.1f}",
                str(row["time_text"]),
                str(row["standing"]),
                str(row["names"]),
            )
            for row in rows
        ),
        height=340,
    )


def _row(result: Result, position: int) -> Row:
    point = result.points[position]
    standing = "reaches the target" if point.reaches_target else "misses the target"
    timed = "" if point.latency is not None else " (modelled)"
    return {
        "position": position,
        "label": point.configuration.label,
        "codec": point.configuration.codec,
        "M": point.configuration.M,
        "ef": point.ef_search,
        "us": 1e6 * point.seconds,
        "per_vector": point.memory.resident_bytes / result.profile.n_indexed,
        "recall": point.recall.mean,
        "standing": "on the front" if position in result.front else standing,
        "names": ", ".join(names_of(result, position)),
        "recall_text": recall_text(point.recall),
        "memory_text": bytes_text(point.memory.resident_bytes),
        "time_text": f"{seconds_text(point.seconds)}{timed}",
    }


def _reference(result: Result) -> Row:
    base = result.baseline
    if base is None:
        raise AssertionError("no reference")
    return {
        "label": base.name,
        "ef": base.ef_search,
        "us": 1e6 * base.latency.mean_s,
        "per_vector": base.memory_bytes / result.profile.n_indexed,
        "recall_text": recall_text(base.recall),
        "memory_text": bytes_text(base.memory_bytes),
        "time_text": seconds_text(base.latency.mean_s),
    }
