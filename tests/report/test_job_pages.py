"""Pages of the other jobs: their charts have what was found, and hostile names are only shown."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_engine_report import PLAIN, RECALL, SCORED, target
from test_page import HOSTILE, TEXT, Page, loads

from tuner.errors import InputError
from tuner.gate import write_baseline
from tuner.gate.history import history_of
from tuner.report.charts.chart import Chart
from tuner.report.charts.diagnosis import cost_charts, fixes_chart, waterfall_chart
from tuner.report.charts.engine import beside_faiss_chart, claimed_chart
from tuner.report.charts.gate import changed_chart, history_chart
from tuner.report.page.jobs import (
    check_to_html,
    diagnosis_to_html,
    engine_diagnosis_to_html,
    target_to_html,
    verify_to_html,
)
from tuner.types import (
    AtK,
    BaselineData,
    BaselineQueries,
    Cause,
    CheckResult,
    Claims,
    Configuration,
    Costs,
    Diagnosis,
    Drop,
    EngineDiagnosis,
    EnginePrescription,
    GateBaseline,
    Line,
    Prescription,
    Recall,
    Sensitivity,
    Spent,
    VerifyResult,
)

SEEN = Recall(mean=0.8, lower=0.79, p5=0.5, share_below_half=0.01, n_queries=4)
COSTS = Costs(
    bytes={"codes": 800_000, "links": 200_000, "allocator": 0},
    time=Spent(
        total_s=5e-5, parts={"call": 1e-5, "distances": 4e-5}, ndis_per_query=200.0, hops_per_query=20.0
    ),
)
STORE = Prescription(
    kind="store", title="re-rank 2 x k", label="HNSW8,SQ4,Refine(fp16)x2", search_param="ef_search", value=40,
    factor=2.0, recall=RECALL, ndis_per_query=300.0, index_bytes=2_000_000, works=True, latency_ratio=1.4,
)  # fmt: skip
SEARCH = Cause(name="search", share=0.12, text="ef_search 20")
DIAGNOSIS = Diagnosis(
    source="my.faiss", label="HNSW8,SQ4", queries="queries.npy", n_queries=4, target=0.95,
    search_param="ef_search", value=20, recall=SEEN, healthy=False, first=SEARCH,
    causes=(SEARCH, Cause(name="codec", share=0.09, text="SQ4")),
    residual=-0.01, adds_up=True, drift=None, by_id=0.8, index_bytes=1_000_000, resident_bytes=None,
    costs=COSTS, needed=COSTS, prescriptions=(STORE, replace(STORE, latency_ratio=None, works=False)),
    sensitivity=Sensitivity(
        subject="it", target=0.78, by_k=(AtK(k=1, recall=SEEN),), n=1_000, grown=(), lasts=None
    ),
    applied=None, notes=(), machine={}, versions={"tuner": "0.1.0"}, created="2026-01-02",
)  # fmt: skip
ENGINE = EngineDiagnosis(
    engine="x", settings=PLAIN.settings, version="x 1.0", target=0.95, n_queries=4, recall=SEEN,
    healthy=False, first=SEARCH, causes=DIAGNOSIS.causes, index_bytes=1_000_000,
    prescriptions=(
        EnginePrescription(kind="search", settings=PLAIN.settings, recall=RECALL, index_bytes=1_000_000,
                           latency_ratio=2.0, works=True),
    ),
    notes=(), machine={}, created="2026-01-02",
)  # fmt: skip
BASELINE = GateBaseline(
    created="2026-01-01T00:00:00", label="HNSW8,SQ8", recall=0.9, k=10, confidence=0.95, seed=0,
    configuration=Configuration(M=8, ef_construction=100, codec="SQ8", dims=32), ef_search=20, graph_M=16,
    data=BaselineData(fingerprint="a", n=1_000, d=32, dtype="float32", metric="l2"),
    queries=BaselineQueries(fingerprint="b", n=4, held_out=False),
    measured_recall=0.95, measured_lower=0.91, ndis_per_query=100.0, bytes={"total": 60_000, "codes": 32_000},
    hits=(10, 9, 9, 10),
)  # fmt: skip
CHECK = CheckResult(
    lines=(Line("recall", "fail", "it fell"), Line("data", "pass", "the same")), label="HNSW8,SQ8",
    recall=SEEN, drop=Drop(0.15, 0.1, 0.2, 0.01, 3, 4), ndis_per_query=100.0, index_bytes=60_000,
    visible_drop=0.1, hits=(10, 7, 7, 8), updated=replace(BASELINE, created="2026-01-09T00:00:00"),
)  # fmt: skip
VERIFIED = VerifyResult(
    engine="x", settings=PLAIN.settings,
    claims=Claims(target=0.95, recall=0.97, recall_lower=0.96, n_queries=4, n=1_000, index_bytes=60_000,
                  data="x.npy", label="HNSW8,SQ8", measured_in="faiss 1.15", in_engine=False, created="",
                  queries="b"),
    verdict="verified", lines=(Line("recall", "pass", "as claimed"),), recall=RECALL, index_bytes=70_000,
)  # fmt: skip


def pages(text: str | None = None) -> dict[str, str]:
    """Every page, with a text wherever one comes from outside, if it is given."""
    one: dict[str, Any] = {} if text is None else dict.fromkeys(("source", "label", "queries"), text)
    cause = () if text is None else (Cause(name="search", share=0.2, text=text),)
    line = () if text is None else (Line(text, "fail", text),)
    found = replace(DIAGNOSIS, **one, causes=cause or DIAGNOSIS.causes, notes=(text or "a note",))
    checked = replace(CHECK, label=text or CHECK.label, lines=line or CHECK.lines)
    frozen = replace(BASELINE, label=text or BASELINE.label, created=text or BASELINE.created)
    tuned = target(SCORED)
    engine = text or "x"
    ill = replace(ENGINE, version=engine, causes=cause or ENGINE.causes)
    return {
        "diagnosis": diagnosis_to_html(found, text or ""),
        "engine diagnosis": engine_diagnosis_to_html(ill),
        "check": check_to_html(checked, frozen, [frozen, frozen]),
        "verify": verify_to_html(engine, replace(VERIFIED, lines=line or VERIFIED.lines)),
        "target": target_to_html(engine, replace(tuned, excluded={engine: engine})),
    }


def rows(chart: Chart | None, name: str) -> list[dict[str, Any]]:
    assert chart is not None
    return chart.datasets[name]


def test_the_waterfall_ends_at_the_recall_that_was_found() -> None:
    steps = rows(waterfall_chart(DIAGNOSIS), "steps")
    assert [(step["name"], step["share_text"]) for step in steps] == [
        ("search", "-0.1200"), ("codec", "-0.0900"), ("residual", "+0.0100"), ("this index", "0.8000"),
    ]  # fmt: skip
    assert steps[2]["to"] == pytest.approx(steps[3]["to"]) == 0.8
    assert min(step["start"] for step in steps) > 0.7, "bars of a small loss are not lost on an axis from 0"


def test_charts_of_the_jobs_have_what_was_found() -> None:
    assert [row["number"] for row in rows(fixes_chart(DIAGNOSIS), "fixes")] == ["now", "1"]
    assert [len(rows(chart, "parts")) for chart in cost_charts(DIAGNOSIS)] == [4, 4]
    assert [row["number"] for row in rows(fixes_chart(ENGINE), "fixes")] == ["now", "1"]
    history = rows(history_chart([BASELINE], CHECK), "baselines")
    assert [(row["recall"], row["kind"]) for row in history] == [(0.95, "baseline"), (0.8, "this check")]
    changed = rows(changed_chart(BASELINE, CHECK), "changes")
    assert [(row["change"], row["n"]) for row in changed] == [(-2, 3)]
    assert changed_chart(BASELINE, replace(CHECK, hits=BASELINE.hits)) is None
    tuned = target(SCORED)
    kinds = [row["kind"] for row in rows(beside_faiss_chart("x", tuned), "points")]
    assert kinds == ["tried"] * 2 + ["its default", "the answer"] + ["faiss"] * len(tuned.sweep.points)
    assert [row["recall"] for row in rows(claimed_chart("x", VERIFIED), "recalls")] == [0.97, 0.97]


def test_their_specifications_are_valid() -> None:
    altair = pytest.importorskip("altair")
    for chart in (
        *(
            waterfall_chart(DIAGNOSIS),
            fixes_chart(DIAGNOSIS),
            *cost_charts(DIAGNOSIS),
            waterfall_chart(ENGINE),
        ),
        *(history_chart([BASELINE], CHECK), changed_chart(BASELINE, CHECK)),
        *(beside_faiss_chart("x", target(SCORED)), claimed_chart("x", VERIFIED)),
    ):
        assert chart is not None
        altair.LayerChart.from_dict(chart.spec)


@pytest.mark.parametrize("name", pages())
def test_a_page_loads_nothing_and_hostile_text_is_only_shown(name: str) -> None:
    hostile, plain = Page(pages(text=HOSTILE)[name]), Page(pages()[name])
    assert list(loads(hostile)) == list(loads(plain)) == []
    assert len(hostile.scripts) == len(plain.scripts)
    assert {tag for tag, _ in hostile.tags} - TEXT <= {tag for tag, _ in plain.tags} | {"h2", "ul", "li"}
    assert "onerror=alert(1)" in "".join(hostile.words)


# ---------------------------------------------------------------- the history of a baseline


def test_a_baseline_has_its_history_from_git_or_from_a_folder(tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-c", "commit.gpgsign=false"]
    file = tmp_path / "reports" / "base line.yaml"
    for day in ("01", "02", "03"):
        write_baseline(replace(BASELINE, created=f"2026-01-{day}"), file)
        if day == "01":
            subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True)
        if day != "03":
            subprocess.run([*git, "add", "."], cwd=tmp_path, check=True)
            subprocess.run([*git, "commit", "-qm", day], cwd=tmp_path, check=True)
    days = ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert [each.created for each in history_of(file)] == days
    folder = tmp_path / "kept"
    for day in days[:2]:
        write_baseline(replace(BASELINE, created=day), folder / f"{day}.yaml")
    (folder / "other.yaml").write_text("a: 1\n")
    assert [each.created for each in history_of(file, folder)] == days[:2]
    with pytest.raises(InputError, match="is no folder of baselines"):
        history_of(file, tmp_path / "gone")


def test_a_baseline_outside_of_git_has_itself(tmp_path: Path) -> None:
    write_baseline(BASELINE, tmp_path / "b.yaml")
    assert [each.created for each in history_of(tmp_path / "b.yaml")] == [BASELINE.created]
    assert history_of(tmp_path / "gone.yaml") == ()
