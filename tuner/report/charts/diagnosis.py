"""Charts of a diagnosis: a waterfall of the loss, what mends it at what cost, where bytes and time go."""

from __future__ import annotations

from collections.abc import Iterable

from tuner.report.charts.bars import stacked
from tuner.report.charts.chart import ACCENT, COLOURS, FAINT, Chart, Row, chart, layer, quantity, tooltips
from tuner.report.words import bytes_text, recall_text, seconds_text
from tuner.types import Cause, Costs, Diagnosis, EngineDiagnosis, Recall

STEP, AROUND = 38, 70
"""Pixels of a step of the waterfall, and of what stands around all of them."""


def waterfall_chart(found: Diagnosis | EngineDiagnosis) -> Chart:
    """Recall from 1 down to what the index has, a step a cause."""
    residual = found.residual if isinstance(found, Diagnosis) else 0.0
    rows = list(_steps(found.causes, residual, found.recall.mean))
    shown = (("name", "step"), ("share_text", "recall"), ("text", "seen"))
    y = {
        "field": "name",
        "type": "nominal",
        "title": None,
        "sort": [row["name"] for row in rows],
        "axis": {"ticks": False, "domain": False},
    }
    low = min(found.target, *(float(row["to"]) for row in rows))
    lowest = max(0.0, low - 0.15 * (1 - low) - 0.001)
    x = quantity("from", "recall", domain_=[lowest, 1.0], nice_=True)
    end = quantity("end", "recall", domain_=[lowest, 1.0], nice_=True)
    kinds, colours = ["lost", "gained", "recall"], [ACCENT, COLOURS[2], COLOURS[0]]
    for row in rows:
        row["start"] = max(lowest, float(row["from"])) if row["kind"] != "recall" else lowest
        row["end"] = float(row["to"])
        row["beside"] = row["share_text"] if row["kind"] != "recall" else ""  # the caption says it
    return chart(
        "waterfall",
        "Where recall goes",
        f"From all of the true neighbours down to the {found.recall.mean:.4f} that the index finds; each "
        f"step was measured. The broken line is the target of {found.target:g}.",
        datasets={"steps": rows, "target": [{"from": found.target}]},
        layers=[
            layer("steps", {"type": "bar", "height": {"band": 0.66}},
                  y=y, x={**x, "field": "start"}, x2={"field": "end"},
                  color={"field": "kind", "type": "nominal", "title": None, "legend": None,
                         "scale": {"domain": kinds, "range": colours}},
                  tooltip=tooltips(*shown)),
            layer("steps", {"type": "text", "align": "right", "dx": -6, "aria": False},
                  y=y, x={**end, "field": "left"}, text={"field": "beside", "type": "nominal"}),
            layer("target", {"type": "rule", "strokeDash": [4, 3], "color": FAINT, "aria": False}, x=x),
        ],
        head=[heading for _, heading in shown],
        rows=([str(row[field]) for field, _ in shown] for row in rows),
        height=AROUND + STEP * len(rows),
    )  # fmt: skip


def _steps(causes: Iterable[Cause], residual: float, recall: float) -> Iterable[Row]:
    at = 1.0
    parts: list[tuple[str, float, str]] = [(cause.name, cause.share, cause.text) for cause in causes]
    if residual:
        parts.append(("residual", residual, "what the causes leave over"))
    for name, share, text in parts:
        if abs(share) < 5e-5:
            continue
        yield {
            "name": name,
            "from": at,
            "to": at - share,
            "left": min(at, at - share),
            "share": share,
            "share_text": f"{-share:+.4f}",
            "kind": "lost" if share > 0 else "gained",
            "text": text,
        }
        at -= share
    yield {
        "name": "this index",
        "from": 0.0,
        "to": recall,
        "left": recall,
        "share": recall,
        "share_text": f"{recall:.4f}",
        "kind": "recall",
        "text": "recall as it is",
    }


def fixes_chart(found: Diagnosis | EngineDiagnosis) -> Chart | None:
    """What mends an index by the time and the bytes that it costs; None where nothing does."""
    rows = list(_fixes(found))
    timed = [row for row in rows if row["times"] is not None]
    if len(timed) < 2:
        return None
    shown = (
        ("number", "prescription"),
        ("title", "what is done"),
        ("label", "index"),
        ("recall_text", "recall"),
        ("bytes_text", "bytes"),
        ("times_text", "time"),
    )
    kinds = ["as it is", "reaches the target", "misses the target"]
    x = quantity("times", "time a query, as a multiple of now's", padding_=18, nice_=True)
    y = quantity("mb", "index, MB", padding_=18, nice_=True)
    colour = {
        "field": "kind",
        "type": "nominal",
        "title": None,
        "scale": {"domain": kinds, "range": [FAINT, COLOURS[0], ACCENT]},
    }
    return chart(
        "fixes",
        "What mends it, and what that costs",
        "Each number is a prescription, made and measured. Down and to the left is better.",
        datasets={"fixes": timed},
        layers=[
            layer("fixes", {"type": "point", "filled": True, "size": 130, "opacity": 1},
                  x=x, y=y, color=colour, tooltip=tooltips(*shown)),
            layer("fixes", {"type": "text", "dy": -14, "aria": False},
                  x=x, y=y, text={"field": "number", "type": "nominal"}),
        ],
        head=[heading for _, heading in shown],
        rows=([str(row[field]) for field, _ in shown] for row in rows),
        height=280,
    )  # fmt: skip


def _fixes(found: Diagnosis | EngineDiagnosis) -> Iterable[Row]:
    label = found.label if isinstance(found, Diagnosis) else found.settings.label
    yield _fix("now", "nothing", label, found.recall, found.index_bytes, 1.0, "as it is")
    kinds = {True: "reaches the target", False: "misses the target"}
    if isinstance(found, Diagnosis):
        for number, each in enumerate(found.prescriptions, start=1):
            yield _fix(str(number), each.title, each.label, each.recall, each.index_bytes,
                       each.latency_ratio, kinds[each.works])  # fmt: skip
        return
    for number, one in enumerate(found.prescriptions, start=1):
        yield _fix(str(number), one.kind, one.settings.label, one.recall, one.index_bytes,
                   one.latency_ratio, kinds[one.works])  # fmt: skip


def _fix(
    number: str, title: str, label: str, recall: Recall, size: int, times: float | None, kind: str
) -> Row:
    return {
        "number": number,
        "title": title,
        "label": label,
        "recall_text": recall_text(recall),
        "mb": size / 1e6,
        "bytes_text": bytes_text(size),
        "times": times,
        "times_text": "not timed" if times is None else f"{times:.2f} x now's",
        "kind": kind,
    }


def cost_charts(found: Diagnosis) -> list[Chart]:
    """Where bytes and time go, now and with the first prescription."""
    both: list[tuple[str, Costs]] = [("now", found.costs)]
    if found.needed is not None:
        both.append(("prescription 1", found.needed))
    size_rows: list[Row] = []
    time_rows: list[Row] = []
    for label, costs in both:
        for part, size in costs.bytes.items():
            if size:
                size_rows.append(
                    {"label": label, "part": part, "value": size / 1e6, "text": bytes_text(size)}
                )
        for part, seconds in costs.time.parts.items():
            if seconds > 0:
                row = {"label": label, "part": part, "value": 1e6 * seconds, "text": seconds_text(seconds)}
                time_rows.append(row)
    made = []
    for name, title, caption, rows, axis in (
        ("bytes", "Where bytes go", "Bytes of the index file by part.", size_rows, "MB"),
        ("time", "Where time goes", "Mean time of one query on one thread by part.", time_rows, "us a query"),
    ):
        parts = dict.fromkeys(str(row["part"]) for row in rows)
        shown = (("label", "index"), ("part", "part"), ("text", axis))
        drawn = stacked(name, title, caption, rows, parts, axis, shown)
        if drawn is not None:
            made.append(drawn)
    return made
