"""``report.html``: a run as one page that opens offline."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from typing import Any

from tuner.report.charts import CHARTS, worst_queries
from tuner.report.commands import given_again
from tuner.report.faiss_lines import construct_lines, search_lines, where_it_lies
from tuner.report.filters import filters_sentence
from tuner.report.markdown import sections
from tuner.report.page.render import render
from tuner.report.sharded import sharded_sentence
from tuner.report.within import MOST_POINTS, answer_table
from tuner.report.words import (
    asked_for,
    bytes_text,
    data_sentence,
    earlier_sentence,
    gain_sentence,
    names_of,
    recall_text,
    recommended_point,
    sample_sentence,
    seconds_text,
    verdict,
)
from tuner.text import one_lined
from tuner.types import Result

REMARKS = (sample_sentence, sharded_sentence, filters_sentence, earlier_sentence, gain_sentence)
"""Sentences above the charts, where they have something to say."""
EVIDENCE = (
    "Filtered search",
    "Numbers of shards",
    "The data",
    "How it was measured",
    "What it cost",
    "Other k and targets",
    "Every point measured",
    "Ceilings",
    "Graph curves",
    "To repeat it",
)
"""Sections of the Markdown report that the page folds away."""


@dataclass(frozen=True)
class PointText:
    """A measured point in words.

    Attributes:
        title: index and ef_search.
        names: names that it has earned, in words.
        facts: what is known of it, by name.
        code: lines of Python that make an empty index of it.
        command: line of a shell that writes it for an engine; empty where it was measured on a sample.
    """

    title: str
    names: str
    facts: dict[str, str]
    code: str
    command: str


def result_to_html(result: Result) -> str:
    """The whole report as a page that needs nothing but a browser."""
    code = search_lines(result) if result.status in ("reached", "exact", "sharded") else ()
    commands, result = _commands(result), one_lined(result)
    charts = [drawn for make in CHARTS.values() if (drawn := make(result)) is not None]
    written = sections(result)
    return render(
        "run.html.j2",
        charts,
        title=f"HNSW for {result.profile.source}",
        verdict=verdict(result),
        data=data_sentence(result),
        asked=asked_for(result.options),
        reached=result.status != "not_reached",
        figures=_figures(result),
        remarks=[text for sentence in REMARKS if (text := sentence(result))],
        warnings=result.warnings,
        advice=result.advice,
        code="\n".join(code),
        where=where_it_lies(result),
        commands=commands,
        points=[_point_text(result, position) for position in range(min(len(result.points), MOST_POINTS))],
        n_points=len(result.points),
        chosen=recommended_point(result),
        worst=worst_queries(result),
        k=result.options.k,
        queries_source=result.profile.source if result.queries.held_out_rows else result.queries.source,
        choice=_choice(result),
        evidence={title: written[title] for title in EVIDENCE if title in written},
        created=result.created,
        version=result.versions.get("tuner", ""),
    )


def _figures(result: Result) -> list[tuple[str, str, str]]:
    """The few figures that matter: name, figure, what is beside it."""
    best = result.recommendation
    if best is None or result.status == "exact":
        return []
    if result.extrapolation is not None:  # what was measured is that of the sample, and stands in a sentence
        return []
    found = [
        (f"recall@{result.options.k}", f"{best.recall:.4f}", f"at least {best.recall_lower:.4f}"),
        ("memory", bytes_text(best.memory_bytes), f"{best.memory_per_vector_bytes:,.0f} bytes a vector"),
        (
            "time a query",
            seconds_text(best.latency_p50_s),
            f"median; 95 % within {seconds_text(best.latency_p95_s)}",
        ),
    ]
    if result.baseline is not None:
        found.append(
            (
                "memory of the usual index",
                bytes_text(result.baseline.memory_bytes),
                f"{result.baseline.memory_ratio:.1f} x as much, at the same recall",
            )
        )
    return found


def _commands(result: Result) -> list[tuple[str, str]]:
    """What each command does, and the line of a shell; none that would hold characters no line can."""
    if result.recommendation is None:
        return []
    given = given_again(result)
    lines = [
        ("Write it for the engine that you run", ["tune", "export", "report.json", "--to", "ENGINE"]),
        ("Freeze it for CI", ["tune", "baseline", "report.json", "-o", "baseline.yaml"]),
    ]
    if result.status in ("exact", "extrapolated"):
        lines = []
    if result.status == "sharded":
        lines = lines[:1]
    if given is not None and result.status == "reached":
        check = ["tune", "check", "baseline.yaml", *given, "--index", "index.faiss"]
        lines.append(("Check the index at every change", check))
    if given is not None and result.status not in ("extrapolated", "sharded"):
        lines.append(("Next week, with more vectors", ["tune", "run", "--since", "report.json", *given]))
    if given is not None and result.status == "extrapolated":
        build = ["tune", "build", "report.json", *given, "--out", "built"]
        lines.append(("Build and measure it, where there is memory for all rows", build))
    return [(text, shlex.join(words)) for text, words in lines if all(map(str.isprintable, words))]


def _point_text(result: Result, position: int) -> PointText:
    point = result.points[position]
    what, memory, late = point.configuration, point.memory, point.latency
    facts = {
        "M": f"{what.M}",
        "ef_construction": f"{what.ef_construction}",
        "ef_search": f"{point.ef_search}",
        "codec": what.codec,
        "dimensions": f"{what.dims}" + ("" if what.cut == "none" else f" ({what.cut})"),
        "recall": recall_text(point.recall),
        "5th percentile": f"{point.recall.p5:g}",
        "memory": _memory_text(memory.resident_bytes, result.profile.n_indexed),
        "distances": f"{point.ndis_per_query:,.0f} a query",
        "time": f"{seconds_text(point.seconds)} a query (modelled)"
        if late is None
        else f"median {seconds_text(late.p50_s)}, 95 % within {seconds_text(late.p95_s)}",
        "target": "reached" if point.reaches_target else "missed",
    }
    if what.rerank is not None:
        facts["re-ranking"] = f"{what.rerank}, {what.rerank_factor} x k candidates, in {what.rerank_at}"
    return PointText(
        title=f"{what.label}, ef_search={point.ef_search}",
        names=", ".join(names_of(result, position)),
        facts=facts,
        code="\n".join(("import faiss", *lines))
        if (lines := construct_lines(point, result.profile.d, result.profile.metric))
        else "",
        command=""
        if result.status == "extrapolated"
        else f"tune export report.json --to ENGINE --point {position}",
    )


def _memory_text(n_bytes: int, n: int) -> str:
    return f"{bytes_text(n_bytes)}, {n_bytes / n:,.0f} bytes a vector"


def _choice(result: Result) -> dict[str, Any] | None:
    """What the sliders need; None where nothing was measured, or a sample whose answer is of all rows."""
    table = answer_table(result)
    if not table.settings or result.extrapolation is not None:
        return None
    n, options = result.profile.n_indexed, result.options
    most = table.sizes[-1]
    budget = min(options.memory_limit(n), most)
    least = int(0.9 * min(table.sizes[0], budget))
    return {
        "settings": [
            {
                **asdict(setting),
                "memory_text": _memory_text(setting.memory_bytes, n),
                "time_text": seconds_text(setting.seconds) + ("" if setting.timed else " (modelled)"),
            }
            for setting in table.settings
        ],
        "recalls": table.recalls,
        "sizes": table.sizes,
        "answers": table.answers,
        "own": table.own,
        "recall": options.recall,
        "budget": budget,
        "prefer": options.prefer,
        "least_recall": min(options.recall, int(1000 * table.recalls[0]) / 1000),
        "most_recall": min(1.0, max(options.recall, int(1000 * table.recalls[-1]) / 1000 + 0.002)),
        "least_size": least,
        "most_size": most,
    }
