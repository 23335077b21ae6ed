"""The front: memory against time of every point that was measured."""

from __future__ import annotations

from tuner.prediction.choice import GAIN
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
from tuner.types import ReferenceComparison, Result

SHOWN = (
    ("label", "index"),
    ("ef", "ef_search"),
    ("recall_text", "recall"),
    ("memory_text", "memory"),
    ("time_text", "mean time a query"),
    ("names", "named"),
)
CELLS = (*SHOWN[:-1], ("per_vector_text", "bytes a vector"), ("standing", "standing"), ("names", "named"))
SHAPES = {"on the front": "circle", "reaches the target": "diamond", "misses the target": "cross"}


def front_chart(result: Result) -> Chart | None:
    """Every measured point by its time and memory; None where nothing was measured."""
    if not result.points:
        return None
    rows = [_row(result, position) for position in range(len(result.points))]
    times = [float(row["us"]) for row in rows]
    named = [row for row in rows if row["names"]]
    left = [row for row in named if float(row["us"]) <= (min(times) + max(times)) / 2]
    chosen = recommended_point(result)
    caption = ["Down and to the left is better."]
    if result.baseline is not None:
        caption.append("The triangle is the index that most people have, at the same recall.")
    if chosen is not None:
        caption.append("The ring is around the choice.")
    if result.front:
        caption.append(
            "The broken line joins the front, which leaves out what was not timed, and memory that buys less "
            f"than {GAIN:.0%} of the time."
        )
    return chart(
        "front",
        "Memory against time",
        " ".join(caption),
        datasets={
            "points": rows,
            "front": sorted((rows[i] for i in result.front), key=lambda row: float(row["us"])),
            "names_left": left,
            "names_right": [row for row in named if row not in left],
            "reference": [] if result.baseline is None else [_reference(result, result.baseline)],
        },
        layers=_layers([str(row["codec"]) for row in rows]),
        params=[{"name": "chosen", "value": -1 if chosen is None else chosen}],
        resolve={"legend": {"color": "independent", "shape": "independent"}},
        head=[heading for _, heading in CELLS],
        rows=([str(row[field]) for field, _ in CELLS] for row in rows),
        height=340,
    )


def _layers(codecs: list[str]) -> list[Spec]:
    x = quantity("us", "mean time of a query, us (one thread)", nice_=True, padding_=14)
    y = quantity("per_vector", "memory, bytes a vector", nice_=True, padding_=14)
    shape = {
        "field": "standing",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(SHAPES), "range": list(SHAPES.values())},
        "legend": {"symbolFillColor": FAINT, "symbolStrokeColor": FAINT, "orient": "bottom"},
    }
    shown = {"condition": {"test": "datum.position == chosen", "value": 1}, "value": 0}
    return [
        layer("front", {"type": "line", "interpolate": "step-after", "color": FAINT, "strokeDash": [4, 3],
                        "aria": False}, x=x, y=y),
        layer("points", {"type": "point", "filled": False, "size": 420, "strokeWidth": 2.5,
                         "color": ACCENT, "tooltip": None, "aria": False}, x=x, y=y, opacity=shown),
        layer("points", {"type": "point", "filled": True, "size": 110, "opacity": 1, "cursor": "pointer"},
              x=x, y=y, color=category("codec", None, codecs, legend={"symbolType": "square"}), shape=shape,
              tooltip=tooltips(*SHOWN)),
        *(
            layer(f"names_{side}", {"type": "text", "align": side, "dx": shift, "dy": -12, "color": INK,
                                    "aria": False}, x=x, y=y, text={"field": "names", "type": "nominal"})
            for side, shift in (("left", 12), ("right", -12))
        ),
        layer("reference", {"type": "point", "shape": "triangle-up", "size": 110, "color": FAINT,
                            "filled": True}, x=x, y=y, tooltip=tooltips(*SHOWN[:-1])),
    ]  # fmt: skip


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
        "per_vector_text": f"{point.memory.resident_bytes / result.profile.n_indexed:,.1f}",
        "recall": point.recall.mean,
        "standing": "on the front" if position in result.front else standing,
        "names": ", ".join(names_of(result, position)),
        "recall_text": recall_text(point.recall),
        "memory_text": bytes_text(point.memory.resident_bytes),
        "time_text": f"{seconds_text(point.seconds)}{timed}",
    }


def _reference(result: Result, base: ReferenceComparison) -> Row:
    return {
        "label": base.name,
        "ef": base.ef_search,
        "us": 1e6 * base.latency.mean_s,
        "per_vector": base.memory_bytes / result.profile.n_indexed,
        "recall_text": recall_text(base.recall),
        "memory_text": bytes_text(base.memory_bytes),
        "time_text": seconds_text(base.latency.mean_s),
    }
