"""Points of engines in words and tables: bytes of the index, and beside them those of the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from tuner.report import result_from_json
from tuner.report.engines import POINT_HEAD, describe_point, point_row, target_sentences
from tuner.types import (
    DefaultComparison,
    EngineConfig,
    EnginePoint,
    FirstBuild,
    Latency,
    Recall,
    ReportedConfig,
    TargetResult,
)

GOLDEN = Path(__file__).parents[1] / "golden"
RECALL = Recall(mean=0.97, lower=0.96, p5=0.8, share_below_half=0.0, n_queries=100)
PLAIN = EnginePoint(
    settings=EngineConfig(
        engine="pgvector",
        codec="vector",
        d=128,
        metric="cosine",
        k=10,
        M=16,
        ef_construction=64,
        ef_search=40,
    ),
    recall=RECALL,
    hits=(10, 9),
    index_bytes=12_000_000,
    latency=Latency(mean_s=1e-3, p50_s=1e-3, p95_s=2e-3, p99_s=3e-3, n_rounds=1),
    applied=ReportedConfig(version="pgvector 0.8.5"),
    load_s=1.0,
    predicted_recall=None,
    predicted_bytes=None,
    reaches_target=True,
)
SCORED = replace(
    PLAIN,
    settings=replace(PLAIN.settings, codec="bit", oversampling=8),
    index_bytes=2_000_000,
    table_bytes=11_500_000,
)


def target(chosen: EnginePoint) -> TargetResult:
    return TargetResult(
        status="reached",
        engine="pgvector",
        sweep=result_from_json((GOLDEN / "report.json").read_bytes()),
        points=(PLAIN, SCORED),
        excluded={},
        chosen=chosen,
        default_comparison=DefaultComparison(point=PLAIN, memory_ratio=6.0, latency_ratio=1.2),
    )


def test_the_table_stands_beside_the_index_where_it_is_re_scored_from() -> None:
    assert "2,000,000 bytes and 11,500,000 of the table it re-scores from, " in describe_point(SCORED)
    assert "of the table" not in describe_point(PLAIN)
    cells = [dict(zip(POINT_HEAD, point_row(point), strict=True)) for point in (PLAIN, SCORED)]
    assert [row["MB+table"] for row in cells] == ["12.0", "2.0+11.5"]
    assert msgspec.to_builtins(SCORED)["table_bytes"] == 11_500_000


def test_a_chosen_point_that_re_scores_says_what_it_reads() -> None:
    lines = target_sentences("PostgreSQL + pgvector", target(SCORED))
    assert lines[1] == (
        "its index takes 2 MB; it re-scores from the table's own vectors, 11.5 MB more, which only the "
        "candidates of a query are read from"
    )
    assert lines[2].startswith("its own default takes 6.00 x the memory and 1.20 x the time of that")
    assert not any("re-scores" in line for line in target_sentences("pgvector", target(PLAIN)))


def test_a_second_build_and_the_first_are_both_told() -> None:
    again = replace(
        PLAIN, first_build=FirstBuild(ef_search=36, recall=replace(RECALL, mean=0.965, lower=0.955))
    )
    lines = target_sentences("pgvector", target(again))
    assert lines[0] == (
        "pgvector: vector with M=16, ef_construction=64 and ef_search=40 reaches recall 0.9700 (at least "
        "0.9600), measured in pgvector 0.8.5"
    )
    assert lines[1] == (
        "that is of a second build, its rows in another order; the first one had 0.9650 (at least 0.9550) "
        "with ef_search=36"
    )


def test_not_reached_with_a_recall_above_the_target_says_how_many_queries_would_do() -> None:
    missed = replace(PLAIN, reaches_target=False, recall=replace(RECALL, mean=0.998, lower=0.972))
    none = replace(
        target(PLAIN), status="not_reached", points=(missed,), chosen=None, default_comparison=None
    )
    assert target_sentences("pgvector", none) == [
        "not reached in pgvector; the best that was seen is 0.9980 (at least 0.9720)"
    ]
    sweep = replace(none.sweep, queries=replace(none.sweep.queries, n=100))
    few = replace(none, sweep=sweep, n_queries_needed=187)
    assert target_sentences("pgvector", few)[0].endswith(
        ": its recall of 0.9980 (at least 0.9720) lies above the target of "
        f"{sweep.options.recall:g}, but 100 queries "
        "are too few to show it: about 187 would do"
    )
    unmeasured = target_sentences(
        "pgvector", replace(none, points=(), sweep=replace(sweep, advice=("a, b",)))
    )
    assert unmeasured == ["not reached in pgvector; a, b"]


def test_a_default_that_was_chosen_is_called_one() -> None:
    assert target_sentences("pgvector", target(PLAIN))[-1] == (
        "that is its own default with ef_search tuned: nothing better was found that is as fast"
    )
