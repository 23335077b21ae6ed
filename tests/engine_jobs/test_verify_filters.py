"""``tune verify`` with filters: recall among the allowed rows, band by band, and planted faults seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import scores
from installed import needs

from tuner.cli.main import tune
from tuner.data.filters import FiltersAsked, open_filters
from tuner.data.vectors import open_vectors
from tuner.engine_jobs.filtered import (
    FilteredQueries,
    bands_of,
    pose_filtered,
    search_filtered,
)
from tuner.engines import (
    Answers,
    Claims,
    EngineConfig,
    EngineProcess,
    Exported,
    find_engine,
    write_exported,
)
from tuner.errors import InputError
from tuner.runtime.journal import Journal
from tuner.runtime.steps import result_of
from tuner.sweep.pose import PosedProblem, pose
from tuner.types import FilterConfig, FilteredBand, FilterStep, FloatArray, IdArray, Line, Options

N, NQ, D, K = 1_000, 80, 12, 10
LABELS = np.random.default_rng(1).choice(3, N, p=[0.6, 0.36, 0.04])
ASKED = np.arange(NQ) % 3
FILTERS = FilterConfig(
    steps=(FilterStep(least_share=0.5, ef_search=50), FilterStep(least_share=0.2, ef_search=90)),
    scan_below_rows=100,
    n=N,
)
CONFIG = EngineConfig(
    engine="duckdb",
    codec="FLOAT",
    d=D,
    metric="cosine",
    k=K,
    M=16,
    ef_construction=100,
    ef_search=40,
    filters=FILTERS,
)


def rows_and_queries() -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(2)
    x, queries = (rng.standard_normal((n, D)).astype(np.float32) for n in (N, NQ))
    return x, queries


@pytest.fixture(scope="module")
def posed(tmp_path_factory: pytest.TempPathFactory) -> tuple[PosedProblem, FilteredQueries]:
    x, queries = rows_and_queries()
    base, given = open_vectors(x, "base"), open_vectors(queries, "queries")
    work = tmp_path_factory.mktemp("work")
    journal = Journal(work, {}, resume=False)
    found = result_of(pose(journal, base, given, Options(recall=0.8, metric="cosine"), work))
    filters = open_filters(FiltersAsked(LABELS, ASKED), (base, given), (x, queries))
    assert filters is not None
    return found, result_of(pose_filtered(journal, found, filters))


class FakeProcess:
    """An exact engine that searches with filters, but for what its fault says."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.x, self.ef = rows_and_queries()[0], 0
        self.asked: list[tuple[int, bool, int]] = []
        self.tags: list[list[int]] = []

    def set_search(self, ef_search: int, oversampling: int) -> None:
        self.ef = ef_search

    def search_tagged(self, queries: FloatArray, k: int, tags: IdArray, *, scan: bool) -> Answers:
        self.asked.append((self.ef, scan, len(queries)))
        found = np.full((len(queries), k), -1)
        for number, row in enumerate(scores("cosine", self.x, queries)):
            order: list[int] = np.argsort(-row).tolist()
            if self.fault == "post-filter":
                order = order[: 2 * k]
            if self.fault != "filter ignored":
                order = [each for each in order if tags[number] in self.tags[each]]
            if self.fault == "too few answers":
                order = order[:-1][: k - 1]
            found[number, : len(order[:k])] = order[:k]
        return Answers(ids=found, seconds=np.full(len(queries), 1e-3))

    def answers_from_index(self, tag: int, *, scan: bool) -> bool | None:
        return not scan


def searched(
    fault: str, posed: tuple[PosedProblem, FilteredQueries], config: EngineConfig = CONFIG
) -> tuple[FakeProcess, tuple[FilteredBand, ...], dict[str, Line]]:
    process = FakeProcess(fault)
    process.tags = posed[1].tags.of_rows(0, N)
    can = find_engine("duckdb").capabilities
    steps = search_filtered(cast(EngineProcess, process), can, config, *posed)
    bands, lines = result_of(steps)
    return process, bands, {line.name: line for line in lines}


def test_each_band_is_searched_by_the_policy_and_recall_is_that_among_the_rows_allowed(
    posed: tuple[PosedProblem, FilteredQueries],
) -> None:
    process, bands, lines = searched("none", posed)
    assert process.asked == [(50, False, 27), (90, False, 27), (40, True, 26)]
    shares = [float(np.mean(label == LABELS)) for label in range(3)]
    assert [band.least_share for band in bands] == shares
    assert [(band.ef_search, band.n_queries, band.from_index) for band in bands] == [
        (50, 27, 1.0),
        (90, 27, 1.0),
        (None, 26, 0.0),
    ]
    assert [(band.recall.mean, band.n_forbidden, band.n_short) for band in bands] == [(1.0, 0, 0)] * 3
    assert process.ef == CONFIG.ef_search  # as it was before
    assert [line.status for line in lines.values()] == ["pass"] * 3 + ["pass"] * 2
    assert "scanned, by the engine's plan" in lines[f"filters from {100 * shares[2]:.3g}%"].text


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("filter ignored", {"filters kept", "recall"}),
        ("post-filter", {"filtered answers", "recall"}),
        ("too few answers", {"filtered answers"}),
    ],
)
def test_a_planted_fault_is_seen(
    fault: str, expected: set[str], posed: tuple[PosedProblem, FilteredQueries]
) -> None:
    _, bands, lines = searched(fault, posed)
    failed = {name for name, line in lines.items() if line.status == "fail"}
    assert {"recall" if name.startswith("filters from") else name for name in failed} >= expected
    if fault == "filter ignored":
        assert all(band.n_forbidden for band in bands)
        assert not any(band.n_short for band in bands)
    else:
        assert lines["filters kept"].text == "every answer is allowed"
        assert "DuckDB + vss cannot search its graph with a filter" in lines["filtered answers"].text


def test_tags_are_the_filters_that_allow_a_row(posed: tuple[PosedProblem, FilteredQueries]) -> None:
    asked = posed[1]
    tags = asked.tags.of_rows(0, N)
    for number in range(len(asked.filters.bits)):
        assert [row for row in range(N) if number in tags[row]] == asked.filters.rows(number).tolist()


def test_without_a_policy_bands_follow_the_shares() -> None:
    shares = np.array([0.5] * 40 + [0.1] * 40 + [0.02] * 40)
    bands = bands_of(replace(CONFIG, filters=None), shares)
    assert [(len(band.places), band.ef_search) for band in bands] == [(40, 40)] * 3


def test_filters_that_allow_too_few_rows_are_refused(tmp_path: Path) -> None:
    x, queries = rows_and_queries()
    base, given = open_vectors(x, "base"), open_vectors(queries, "queries")
    journal = Journal(tmp_path, {}, resume=False)
    found = result_of(pose(journal, base, given, Options(recall=0.8, metric="cosine"), tmp_path))
    few = open_filters(FiltersAsked(np.arange(N) // 5, ASKED), (base, given), (x, queries))
    assert few is not None
    with pytest.raises(InputError, match="0 queries of 80 may be answered with k=10 rows or more"):
        result_of(pose_filtered(journal, found, few))


def files(folder: Path, engine: str) -> list[str]:
    """Arguments of ``tune verify`` for an engine, with labels."""
    x, queries = rows_and_queries()
    can = find_engine(engine).capabilities
    settings = replace(CONFIG, engine=engine, codec=can.codecs[0].name)
    claims = Claims(
        target=0.9,
        recall=0.95,
        recall_lower=0.94,
        n_queries=NQ,
        n=N,
        index_bytes=1,
        data="x.npy",
        label="HNSW16,fp32",
        measured_in="faiss 1.15.1",
        in_engine=False,
        created="2026-11-28",
        queries="others",
    )
    write_exported(find_engine(engine), Exported(settings=settings, claims=claims), folder / "config")
    for name, values in (("x", x), ("q", queries), ("labels", LABELS), ("asked", ASKED)):
        np.save(folder / f"{name}.npy", values)
    given = [str(folder / f"{name}.npy") for name in ("x", "q", "labels", "asked")]
    options = ["--queries", given[1], "--labels", given[2], "--query-labels", given[3], "--json", "--quiet"]
    return ["verify", str(folder / "config"), given[0], *options]


def test_the_command_searches_a_real_engine_with_the_users_labels(tmp_path: Path) -> None:
    needs("qdrant")
    done = CliRunner().invoke(tune, files(tmp_path, "qdrant"))
    found: dict[str, Any] = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"]) == (0, "verified"), found["headline"]
    assert [band["ef_search"] for band in found["filtered"]] == [50, 90, None]
    assert min(band["recall"]["mean"] for band in found["filtered"]) > 0.9


def test_an_engine_whose_filtered_search_is_not_built_is_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(tune, files(tmp_path, "hnswlib"))
    assert isinstance(done.exception, InputError) or done.exit_code == 2
    assert "hnswlib: searching with filters is not built for it" in str(done.exception) + done.output
