"""Recall over queries: how many find how much, and the ten that find least."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.report.charts.chart import ACCENT, COLOURS, Chart, Row, chart, layer, quantity, tooltips
from tuner.report.words import recommended_point, shown_points
from tuner.types import Result

N_WORST = 10
MOST_BARS = 50
"""Bars at most; with a larger k each stands for several numbers of right answers."""


@dataclass(frozen=True)
class WorstQuery:
    """A query that finds little.

    Attributes:
        number: its row in the queries' file, or in the base where it was held out.
        hits: right answers of it.
    """

    number: int
    hits: int


def asked_point(result: Result) -> int | None:
    """Position of the point whose queries are shown: the recommended one, or the closest."""
    chosen = recommended_point(result)
    candidates = ([chosen] if chosen is not None else []) + list(shown_points(result))
    return next((position for position in candidates if result.points[position].hits), None)


def worst_queries(result: Result) -> tuple[WorstQuery, ...]:
    """The ten queries that find least, the worst first; none where no query was asked."""
    position = asked_point(result)
    if position is None:
        return ()
    hits, rows = result.points[position].hits, result.queries.held_out_rows
    order = sorted(range(len(hits)), key=lambda query: (hits[query], query))[:N_WORST]
    known = len(rows) == len(hits)
    return tuple(WorstQuery(rows[query] if known else query, hits[query]) for query in order)


def queries_chart(result: Result) -> Chart | None:
    """How many queries find how many of their neighbours; None where no query was asked."""
    position = asked_point(result)
    if position is None:
        return None
    point, k = result.points[position], result.options.k
    step = max(1, -(-(k + 1) // MOST_BARS))
    counts: dict[int, int] = dict.fromkeys(range(0, k + 1, step), 0)
    for hits in point.hits:
        counts[hits // step * step] += 1
    n_queries = len(point.hits)
    rows: list[Row] = []
    for low, n in counts.items():
        high = min(k, low + step - 1)
        rows.append(
            {
                "low": (low - 0.5) / k,
                "high": (high + 0.5) / k,
                "n": n,
                "found": f"{low} of {k}" if low == high else f"{low} to {high} of {k}",
                "n_text": f"{n:,}",
                "share_text": f"{n / n_queries:.1%}",
            }
        )
    p5 = [{"recall": point.recall.p5, "text": f"5th percentile {point.recall.p5:g}"}]
    shown = (("found", "right answers"), ("n_text", "queries"), ("share_text", "share"))
    x = quantity(
        "low",
        f"recall@{k} of one query",
        domain_=[-0.5 / k, 1 + 0.5 / k],
        nice_=False,
        axis={"values": [0, 0.2, 0.4, 0.6, 0.8, 1], "grid": False},
    )
    return chart(
        "queries",
        "Recall over queries",
        f"{point.configuration.label} with ef_search={point.ef_search}: one query in twenty finds "
        f"{point.recall.p5:g} or less, and {point.recall.share_below_half:.2%} find less than half.",
        datasets={"queries": rows, "p5": p5},
        layers=[
            layer("queries", {"type": "bar", "color": COLOURS[0], "stroke": None, "binSpacing": 1},
                  x={**x, "bin": "binned"}, x2={"field": "high"},
                  y=quantity("n", "queries", zero_=True), tooltip=tooltips(*shown)),
            layer("p5", {"type": "rule", "color": ACCENT, "strokeWidth": 2, "aria": False},
                  x=quantity("recall", None)),
            layer("p5", {"type": "text", "align": "right", "dx": -6, "dy": 8, "aria": False},
                  x=quantity("recall", None), y={"value": 0}, text={"field": "text", "type": "nominal"}),
        ],
        head=("right answers", "queries", "share"),
        rows=([str(row[field]) for field, _ in shown] for row in rows if row["n"]),
        height=240,
    )  # fmt: skip
