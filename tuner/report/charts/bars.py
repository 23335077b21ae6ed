"""Stacked bars: memory by part, and where recall goes."""

from __future__ import annotations

from collections.abc import Iterable

from tuner.report.charts.chart import Chart, Row, category, chart, layer, quantity, tooltips
from tuner.report.words import bytes_text, shown_points
from tuner.types import Ceiling, Configuration, OperatingPoint, Result

PARTS = {
    "codes": "codes_bytes",
    "links": "links_bytes",
    "levels": "levels_bytes",
    "ids": "ids_bytes",
    "re-ranking": "rerank_bytes",
    "overhead": "overhead_bytes",
    "list of copies": "copies_bytes",
    "on disk, not in memory": "disk_bytes",
}
BAR, AROUND = 34, 90
"""Pixels of a bar, and of what stands around all of them."""


def memory_chart(result: Result) -> Chart | None:
    """Bytes a vector of the front by part; None where nothing was measured."""
    rows: list[Row] = []
    for position in shown_points(result):
        point = result.points[position]
        for part, field in PARTS.items():
            size = int(getattr(point.memory, field))
            if size:
                rows.append(
                    {
                        "position": position,
                        "label": point.configuration.label,
                        "part": part,
                        "value": size / result.profile.n_indexed,
                        "value_text": f"{size / result.profile.n_indexed:,.1f} bytes a vector",
                        "size_text": bytes_text(size),
                    }
                )
    return stacked(
        "memory",
        "Memory by part",
        "Serialized bytes of each index of the front: the codes of the vectors, the links of the graph, and "
        "what else it needs.",
        rows,
        PARTS,
        "bytes a vector",
        (("label", "index"), ("part", "part"), ("value_text", "a vector"), ("size_text", "in all")),
    )


LOSSES = ("dimension cut", "codec", "graph", "search", "codec, graph and search")


def loss_chart(result: Result) -> Chart | None:
    """What each index of the front loses recall to; None where nothing was measured.

    None of a sample too: its ceilings are those among all rows, its points are not.
    """
    if result.extrapolation is not None:
        return None
    rows: list[Row] = []
    for position in shown_points(result):
        point = result.points[position]
        for cause, share in losses(result, point).items():
            if share > 0:
                rows.append(
                    {
                        "position": position,
                        "label": point.configuration.label,
                        "part": cause,
                        "value": share,
                        "value_text": f"{share:.4f}",
                    }
                )
    return stacked(
        "loss",
        "Where recall goes",
        "1 - recall of each index, split by what was measured of its parts on some of the queries: what "
        "the codes cannot tell apart (an exhaustive scan of them), what the graph does not reach on exact "
        "distances at the largest ef_search tried, and what a larger ef_search would find.",
        rows,
        LOSSES,
        "recall that is lost",
        (("label", "index"), ("part", "lost to"), ("value_text", "recall")),
    )


def losses(result: Result, point: OperatingPoint) -> dict[str, float]:
    """Parts of 1 - recall of a point by cause; together they are all of it."""
    lost, what = 1 - point.recall.mean, point.configuration
    best = _ceiling(result.ceilings, what)
    if best is None:
        return {"codec, graph and search": lost}
    parts: dict[str, float] = {}
    by_codes = min(lost, 1 - best)
    whole = _ceiling(result.ceilings, what, codec="fp32") if what.cut != "none" else 1.0
    parts["dimension cut"] = min(by_codes, 1 - (whole or 1.0))
    parts["codec"] = by_codes - parts["dimension cut"]
    rest = lost - by_codes
    reached = [curve.recall for curve in result.curves if curve.M == what.M]
    parts["graph"] = min(rest, best * (1 - max(reached))) if reached else 0.0
    parts["search"] = rest - parts["graph"]
    if not reached:
        parts["codec, graph and search"] = parts.pop("search")
    return parts


def _ceiling(ceilings: Iterable[Ceiling], what: Configuration, codec: str = "") -> float | None:
    """Recall of an exhaustive scan of the codes, re-ranked as the configuration is; None if unknown."""
    mine = (codec or what.codec, what.dims, what.cut)
    for each in ceilings:
        if (each.codec, each.dims, each.cut) != mine:
            continue
        if what.rerank is None:
            return each.recall_at.get(1)
        found = each.recall_with.get(what.rerank, {}).get(what.rerank_factor)
        return each.recall_at.get(what.rerank_factor) if found is None else found
    return None


def stacked(
    name: str,
    title: str,
    caption: str,
    rows: list[Row],
    parts: Iterable[str],
    axis: str,
    shown: tuple[tuple[str, str], ...],
) -> Chart | None:
    """Bars of parts, one a label; None without rows.

    Args:
        name: name of the chart's kind.
        title: title in plain words.
        caption: what to see in it.
        rows: mappings with ``label``, ``part``, ``value`` and the texts that are shown.
        parts: every part that there may be, in the order of the bars.
        axis: title of the axis.
        shown: fields that are shown over a bar and in the table, with their titles.
    """
    if not rows:
        return None
    labels = list(dict.fromkeys(str(row["label"]) for row in rows))
    present = {row["part"] for row in rows}
    order = [part for part in parts if part in present]
    for row in rows:
        row["order"] = order.index(row["part"])
    return chart(
        name,
        title,
        caption,
        datasets={"parts": rows},
        layers=[
            layer(
                "parts",
                {"type": "bar", "height": {"band": 0.7}},
                y={"field": "label", "type": "nominal", "title": None, "sort": labels,
                   "axis": {"ticks": False, "domain": False}},
                x=quantity("value", axis, zero_=True, stack="zero", axis={"tickCount": 6}),
                color=category("part", None, order, legend={"symbolType": "square"}),
                order={"field": "order", "type": "quantitative"},
                tooltip=tooltips(*shown),
            )
        ],
        head=[heading for _, heading in shown],
        rows=([str(row[field]) for field, _ in shown] for row in rows),
        height=AROUND + BAR * len(labels),
    )  # fmt: skip
