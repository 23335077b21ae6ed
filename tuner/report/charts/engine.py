"""Charts of jobs in engines: the engine beside faiss, and what a file claims beside what was found."""

from __future__ import annotations

from tuner.report.charts.chart import ACCENT, COLOURS, FAINT, Chart, Row, chart, layer, quantity, tooltips
from tuner.report.words import bytes_text, recall_text, seconds_text
from tuner.types import EnginePoint, Latency, Recall, TargetResult, VerifyResult

SHOWN = (
    ("where", "measured in"),
    ("label", "index"),
    ("recall_text", "recall"),
    ("bytes_text", "memory"),
    ("time_text", "mean time a query"),
    ("predicted_text", "predicted recall"),
)


def beside_faiss_chart(title: str, result: TargetResult) -> Chart | None:
    """Every config that was built in the engine, beside faiss's measured points; None where none was.

    Args:
        title: name of the engine.
        result: what was found.
    """
    if not result.points:
        return None
    rows = [_point(title, each) for each in result.points]
    if result.default_comparison is not None:
        rows.append({**_point(title, result.default_comparison.point), "kind": "its default"})
    if result.chosen is not None:
        rows.append({**_point(title, result.chosen), "kind": "the answer"})
    n = result.sweep.profile.n_indexed
    for point in result.sweep.points:
        label = f"{point.configuration.label}, ef_search={point.ef_search}"
        row = _row("faiss", "faiss", label, point.recall, point.memory.resident_bytes, point.latency,
                   point.predicted_recall)  # fmt: skip
        rows.append({**row, "us": 1e6 * point.seconds, "time_text": seconds_text(point.seconds)})
    for row in rows:
        row["per_vector"] = float(row["size"]) / n
    kinds = ["the answer", "tried", "its default", "faiss"]
    return chart(
        "beside_faiss",
        f"{title} beside faiss",
        f"What was built and searched in {title}, and the points that faiss measured on the same vectors. "
        "Down and to the left is better.",
        datasets={"points": rows},
        layers=[
            layer("points", {"type": "point", "filled": True, "size": 110, "opacity": 1},
                  x=quantity("us", "mean time of a query, us (one thread)", type_="log", padding_=14,
                             nice_=False),
                  y=quantity("per_vector", "index, bytes a vector", padding_=14, nice_=True),
                  color={"field": "kind", "type": "nominal", "title": None,
                         "scale": {"domain": kinds, "range": [ACCENT, COLOURS[0], COLOURS[1], FAINT]}},
                  shape={"field": "kind", "type": "nominal", "title": None,
                         "scale": {"domain": kinds, "range": ["diamond", "circle", "square", "triangle-up"]}},
                  tooltip=tooltips(*SHOWN)),
        ],
        head=[heading for _, heading in SHOWN],
        rows=([str(row[field]) for field, _ in SHOWN] for row in rows),
    )  # fmt: skip


def claimed_chart(title: str, result: VerifyResult) -> Chart | None:
    """Recall that a file claims beside the recall that was found; None where none was."""
    if result.recall is None:
        return None
    claims, found = result.claims, result.recall
    rows: list[Row] = [
        {
            "where": f"claimed ({claims.measured_in})",
            "recall": claims.recall,
            "lower": claims.recall_lower,
            "recall_text": f"{claims.recall:.4f} (at least {claims.recall_lower:.4f})",
            "bytes_text": bytes_text(claims.index_bytes),
        },
        {
            "where": f"found ({title})",
            "recall": found.mean,
            "lower": found.lower,
            "recall_text": recall_text(found),
            "bytes_text": "-" if result.index_bytes is None else bytes_text(result.index_bytes),
        },
    ]
    shown = (("where", "where"), ("recall_text", "recall"), ("bytes_text", "index"))
    names = [row["where"] for row in rows]
    y = {"field": "where", "type": "nominal", "title": None, "sort": names}
    x = quantity("recall", "recall", nice_=True, padding_=20)
    return chart(
        "claimed",
        "Claimed and found",
        "The stroke ends at the lower bound; the broken line is the target.",
        datasets={"recalls": rows, "target": [{"recall": claims.target}]},
        layers=[
            layer("target", {"type": "rule", "strokeDash": [4, 3], "color": FAINT, "aria": False}, x=x),
            layer("recalls", {"type": "rule", "color": COLOURS[0], "aria": False},
                  y=y, x=x, x2={"field": "lower"}),
            layer("recalls", {"type": "point", "filled": True, "size": 120, "opacity": 1,
                              "color": COLOURS[0]}, y=y, x=x, tooltip=tooltips(*shown)),
        ],
        head=[heading for _, heading in shown],
        rows=([str(row[field]) for field, _ in shown] for row in rows),
        height=130,
    )  # fmt: skip


def _point(title: str, point: EnginePoint) -> Row:
    return _row(title, "tried", point.settings.label, point.recall, point.index_bytes, point.latency,
                point.predicted_recall)  # fmt: skip


def _row(
    where: str,
    kind: str,
    label: str,
    recall: Recall,
    size: int,
    late: Latency | None,
    predicted: float | None,
) -> Row:
    return {
        "where": where,
        "kind": kind,
        "label": label,
        "recall_text": recall_text(recall),
        "size": size,
        "bytes_text": bytes_text(size),
        "us": None if late is None else 1e6 * late.mean_s,
        "time_text": "-" if late is None else seconds_text(late.mean_s),
        "predicted_text": "-" if predicted is None else f"{predicted:.4f}",
    }
