"""What changed between two runs, and what must not be compared."""

from dataclasses import replace

from test_page import PLANTED
from test_report import NOT_REACHED

from tuner.report.compare import SAME, changes, remarks, same_machine
from tuner.types import Result


def rows(before: Result, after: Result) -> dict[str, tuple[str, str, str]]:
    return {each.what: (each.before, each.after, each.change) for each in changes(before, after)}


LATER = replace(
    PLANTED,
    profile=replace(PLANTED.profile, n=20_000, fingerprint="other"),
    recommendation=replace(
        PLANTED.recommendation,  # type: ignore[type-var]
        label="HNSW8,SQ8", M=8, ef_search=102, recall=0.952, memory_bytes=5_637_768, latency_p50_s=9.5e-5,
    ),
    options=replace(PLANTED.options, recall=0.94),
)  # fmt: skip


def test_equal_runs_differ_in_nothing() -> None:
    found = rows(PLANTED, PLANTED)
    assert {change for _, _, change in found.values()} <= {SAME, "+0.0000"}
    assert "rows x columns" not in found, "what did not change of the data is not told"
    assert found["query by query"] == ("0.9581", "0.9581", SAME)
    assert remarks(PLANTED, PLANTED) == []


def test_what_changed_is_told_with_its_size() -> None:
    found = rows(PLANTED, LATER)
    assert found["rows x columns"] == ("18,500 x 384", "20,000 x 384", "changed")
    assert found["asked"][2] == "changed"
    assert found["index"] == ("HNSW12,SQ8", "HNSW8,SQ8", "changed")
    assert found["ef_search"] == ("51", "102", "+100.0%")
    assert found["recall"] == ("0.9570", "0.9520", "-0.0050")
    assert found["memory"] == ("11.3 MB", "5.64 MB", "-50.0%")
    assert found["median time a query"] == ("47.5 us", "95 us", "+100.0%")
    assert "query by query" not in found, "other vectors have other neighbours"
    assert remarks(PLANTED, LATER) == [
        "the vectors are others, so a difference in recall may be theirs and not the index's"
    ]


def test_a_fall_of_the_same_queries_is_told_query_by_query() -> None:
    point = PLANTED.points[1]
    worse = replace(point, hits=tuple(max(0, hits - 1) for hits in point.hits))
    after = replace(PLANTED, points=(PLANTED.points[0], worse, *PLANTED.points[2:]))
    assert rows(PLANTED, after)["query by query"][2].startswith("-0.1000, surely fell")


def test_clock_times_of_other_machines_are_not_compared() -> None:
    elsewhere = replace(PLANTED, machine={**PLANTED.machine, "processor": "another"})
    assert rows(PLANTED, elsewhere)["median time a query"][2] == "not compared"
    assert "different machines" in remarks(PLANTED, elsewhere)[0]
    assert not same_machine(replace(PLANTED, machine={}), replace(PLANTED, machine={}))


def test_a_run_without_an_answer_is_told_so() -> None:
    assert rows(PLANTED, NOT_REACHED)["answer"] == ("HNSW12,SQ8", "-", "the second has none")
    assert rows(NOT_REACHED, NOT_REACHED)["answer"][2] == "neither has one"
