"""Pages of the other jobs: a diagnosis, a check, an index in an engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuner.report import diagnosis as of_index
from tuner.report import engines as in_engine
from tuner.report import gate
from tuner.report.charts.chart import Chart
from tuner.report.charts.diagnosis import cost_charts, fixes_chart, waterfall_chart
from tuner.report.charts.engine import beside_faiss_chart, claimed_chart
from tuner.report.charts.gate import changed_chart, history_chart
from tuner.report.page.render import render
from tuner.report.tables import cell, prose, table
from tuner.report.words import data_sentence
from tuner.runtime.machine import now
from tuner.text import one_lined
from tuner.types import CheckResult, Diagnosis, EngineDiagnosis, GateBaseline, TargetResult, VerifyResult
from tuner.version import __version__


def diagnosis_to_html(found: Diagnosis, command: str = "") -> str:
    """The page of a diagnosis.

    Args:
        found: what was found.
        command: line of a shell that applies the first prescription.
    """
    text = _body(of_index.to_markdown(found, command), 4)
    found = one_lined(found)
    charts = [waterfall_chart(found), fixes_chart(found), *cost_charts(found)]
    return _page(
        found.source, of_index.headline(found), text, charts, good=found.healthy, created=found.created,
        version=found.versions.get("tuner", ""),
    )  # fmt: skip


def engine_diagnosis_to_html(found: EngineDiagnosis) -> str:
    """The page of a diagnosis in an engine."""
    text = _body(in_engine.diagnosis_to_markdown(found), 4)
    found = one_lined(found)
    charts = [waterfall_chart(found), fixes_chart(found)]
    headline = in_engine.diagnosis_headline(found)
    return _page(found.version, headline, text, charts, good=found.healthy, created=found.created)


def check_to_html(result: CheckResult, before: GateBaseline, history: Sequence[GateBaseline]) -> str:
    """The page of a check.

    Args:
        result: what was found.
        before: baseline that was checked.
        history: earlier baselines, the oldest first.
    """
    text = _body(gate.to_markdown(result), 2)
    result, before, history = one_lined(result), one_lined(before), one_lined(tuple(history))
    charts = [history_chart(history or [before], result), changed_chart(before, result)]
    return _page(
        f"Recall gate: {before.label}", gate.headline(result), text, charts, good=result.passed,
        created=result.updated.created, version=result.versions.get("tuner", ""),
    )  # fmt: skip


def verify_to_html(title: str, result: VerifyResult) -> str:
    """The page of an exported file that was proved on its engine.

    Args:
        title: name of the engine.
        result: what was found.
    """
    result = one_lined(result)
    rows = ((cell(line.name), gate.SIGNS[line.status], cell(line.text)) for line in result.lines)
    text = "\n".join(table(("what", "decision", ""), rows))
    good = result.verdict == "verified"
    charts = [claimed_chart(title, result)]
    return _page(f"{title}, verified", in_engine.verify_headline(result), text, charts, good=good)


def target_to_html(title: str, result: TargetResult) -> str:
    """The page of an index that was tuned for an engine.

    Args:
        title: name of the engine.
        result: what was found.
    """
    result = one_lined(result)
    headline, *remarks = in_engine.target_sentences(title, result)
    rows = [in_engine.point_row(point) for point in result.points]
    if result.default_comparison is not None:
        rows.append(in_engine.point_row(result.default_comparison.point, "its default: "))
    lines = list(table(in_engine.POINT_HEAD, ([cell(each) for each in row] for row in rows))) if rows else []
    lines += ["", *(f"- {prose(codec)}: {prose(reason)}" for codec, reason in result.excluded.items())]
    return _page(
        f"HNSW in {title} for {result.sweep.profile.source}", headline, "\n".join(lines),
        [beside_faiss_chart(title, result)], good=result.status != "not_reached",
        remarks=[data_sentence(result.sweep), *remarks], created=result.sweep.created,
        version=result.sweep.versions.get("tuner", ""),
    )  # fmt: skip


def _body(markdown: str, n_lines: int) -> str:
    """A page of Markdown without its first lines, which stand at the top."""
    return markdown.split("\n", n_lines)[-1]


def _page(
    title: str,
    headline: str,
    text: str,
    charts: Iterable[Chart | None],
    *,
    good: bool,
    remarks: Sequence[str] = (),
    created: str = "",
    version: str = "",
) -> str:
    """Return a page; what does not say when and by which version it was made is made now, by this one."""
    shown = [chart for chart in charts if chart is not None]
    return render(
        "job.html.j2", shown, title=title, headline=headline, text=text, good=good, remarks=remarks,
        created=created or now(), version=version or __version__,
    )  # fmt: skip
