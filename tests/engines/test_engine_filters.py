"""Filtered search: a policy in an engine's settings, exported files letter by letter, searches with tags."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import finish, scores
from installed import needs
from test_export import assert_golden, claims, config

from tuner.data.vectors import open_vectors
from tuner.engines import (
    Deployment,
    EngineConfig,
    EngineProcess,
    Exported,
    Tags,
    find_engine,
    read_exported,
    write_exported,
)
from tuner.engines.export import render, suffix
from tuner.engines.filtered import filter_config, with_filters
from tuner.engines.registry import OURS
from tuner.types import (
    BandMeasured,
    FilterBand,
    FilterConfig,
    FilterPolicy,
    FilterStep,
    FloatArray,
    Recall,
)

pytestmark = pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR is not set")
GOLDEN = Path(__file__).parents[1] / "golden" / "engines_filtered"
STEPS = (FilterStep(least_share=0.5, ef_search=150), FilterStep(least_share=0.1, ef_search=410))
FILTERS = FilterConfig(steps=STEPS, scan_below_rows=3_333, n=50_000, label="HNSW16,SQ8")
TRIED = ("pgvector", "qdrant", "lancedb", "clickhouse", "duckdb", "chroma", "lucene", "redis")
"""Engines whose filtered search is built."""
SHOW_NO_PLAN = {"qdrant", "chroma", "lucene"}


# ---------------------------------------------------------------- from the policy to settings


def band(least_share: float, ef_search: int | None, share: float) -> FilterBand:
    recall = Recall(mean=0.97, lower=0.96, n_queries=100, p5=0.8, share_below_half=0.0)
    measured = BandMeasured(
        kind="given",
        n_queries=100,
        share=share,
        recall=recall,
        ndis_per_query=1.0,
        latency_s=1.0,
        unfiltered_recall=recall,
        unfiltered_ndis_per_query=1.0,
        unfiltered_latency_s=1.0,
    )
    return FilterBand(least_share=least_share, ef_search=ef_search, measured=(measured,), reaches_target=True)


def policy(*bands: FilterBand, below: int = 400) -> FilterPolicy:
    return FilterPolicy(
        source="labels.npy",
        bands=bands,
        scan_below_rows=below,
        n=10_000,
        latency_s=1.0,
        scan_s=(0.0, 0.0),
        graph_s=(0.0, 0.0),
    )


BANDS = (band(0.5, 100, 0.6), band(0.1, 600, 0.2), band(0.04, 1_500, 0.05), band(0.0, None, 0.01))


def test_an_engine_that_counts_every_row_takes_the_measured_ef_search() -> None:
    found = filter_config(find_engine("faiss").capabilities, policy(*BANDS), 10, 80)
    assert found is not None
    assert [(step.least_share, step.ef_search) for step in found.steps] == [
        (0.5, 100),
        (0.1, 600),
        (0.04, 1_500),
    ]
    assert (found.scan_below_rows, found.n) == (400, 10_000)


def test_one_that_counts_allowed_rows_takes_it_times_the_share_and_no_less_than_without_a_filter() -> None:
    found = filter_config(find_engine("qdrant").capabilities, policy(*BANDS), 10, 80)
    assert found is not None
    assert [step.ef_search for step in found.steps] == [80, 120, 80]


def test_bands_beyond_what_the_engine_takes_are_scanned() -> None:
    """pgvector takes 1,000 at most: what allows less than 10% of 10,000 rows is scanned."""
    found = filter_config(find_engine("pgvector").capabilities, policy(*BANDS), 10, 80)
    assert found is not None
    assert [step.ef_search for step in found.steps] == [100, 600]
    assert found.scan_below_rows == 1_000
    none = filter_config(find_engine("pgvector").capabilities, policy(band(0.5, 1_200, 0.6)), 10, 80)
    assert none is not None
    assert (none.steps, none.scan_below_rows, none.ef_of(1.0)) == ((), 10_001, None)


def test_only_indexes_of_the_graph_that_the_policy_was_made_for_get_it() -> None:
    """Of a report as it is read, in which filters are planted."""
    from tuner.report import result_from_json

    report = result_from_json((Path(__file__).parents[1] / "golden" / "report.json").read_bytes())
    can = find_engine("faiss").capabilities
    filtered = replace(report, filters=policy(*BANDS))
    best = report.points[report.named[report.options.prefer]]
    found = with_filters(can, config("faiss"), filtered, best, 10).filters
    assert found is not None
    assert (found.largest_ef, found.label) == (1_500, best.configuration.label)
    coarser = replace(
        best, configuration=replace(best.configuration, codec="SQ4"), ef_search=2 * best.ef_search
    )
    scaled = with_filters(can, config("faiss"), filtered, coarser, 10).filters
    assert scaled is not None
    assert scaled.largest_ef == 3_000
    other = replace(best, configuration=replace(best.configuration, M=best.configuration.M + 2))
    assert with_filters(can, config("faiss"), filtered, other, 10).filters is None
    assert with_filters(can, config("faiss"), report, best, 10).filters is None


# ---------------------------------------------------------------- exported files


@pytest.mark.parametrize("name", OURS)
def test_the_exported_file_with_filters_is_the_golden_one_and_is_read_back(name: str, tmp_path: Path) -> None:
    engine = find_engine(name)
    what = Exported(settings=replace(config(name), filters=FILTERS), claims=claims(in_engine=False))
    text = render(engine, what)
    assert_golden(GOLDEN / f"{name}{suffix(engine)}.txt", text)
    assert "fewer than 3,333 rows: scan these rows" in text
    path = tmp_path / f"x{suffix(engine)}"
    write_exported(engine, what, path)
    assert read_exported(path) == (engine, what)
    if path.suffix == ".py":
        compile(text, name, "exec")


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("pgvector", ["SET hnsw.iterative_scan = ", "SET hnsw.ef_search = 410;", "AS MATERIALIZED"]),
        ("qdrant", ['"full_scan_threshold": 3333', '"acorn"', '"field_schema": "integer"']),
        ("weaviate", ['"flatSearchCutoff": 3333', '"filterStrategy": "acorn"']),
        ("opensearch", ['"knn.advanced.filtered_exact_search_threshold": 3332']),
        ("vespa", ["approximate-threshold: 0.06666", "post-filter-threshold: 1.0"]),
        ("redis", ["HYBRID_POLICY BATCHES", "HYBRID_POLICY ADHOC_BF"]),
        ("clickhouse", ["= 'prefilter'", "vector_search_index_fetch_multiplier = 41"]),
        ("milvus", ['"hints": "iterative_filter"']),
        ("mongodb", ['"exact": true']),
        ("azure", ['"vectorFilterMode": "preFilter"']),
        ("duckdb", ["it cannot: search its graph with a filter", "LIMIT 410"]),
        ("usearch", ["it cannot: search its graph with a filter from Python"]),
    ],
)
def test_it_says_the_engines_own_means_with_the_numbers_of_the_policy(name: str, texts: list[str]) -> None:
    """3,333 rows of 256 float32 are 3,333 kB; of 50,000 rows they are 6.666%."""
    engine = find_engine(name)
    what = Exported(settings=replace(config(name), filters=FILTERS), claims=claims(in_engine=False))
    text = render(engine, what)
    assert [each for each in texts if each not in text] == []


def test_every_engine_of_ours_says_how_it_searches_with_filters() -> None:
    assert [name for name in OURS if find_engine(name).capabilities.filters is None] == []
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(
        f"{name}{suffix(find_engine(name))}.txt" for name in OURS
    )


# ---------------------------------------------------------------- in the running engine

N, NQ, D, K = 700, 20, 16, 10
RARE, USUAL = 3, 8
"""Tags of 5% of the rows and of half of them; some rows have neither, some both."""


def tagged_world() -> tuple[FloatArray, FloatArray, dict[int, Any], Tags]:
    rng = np.random.default_rng(11)
    x = rng.standard_normal((N, D)).astype(np.float32)
    queries = rng.standard_normal((NQ, D)).astype(np.float32)
    has = {RARE: rng.random(N) < 0.05, USUAL: rng.random(N) < 0.5}
    of_rows = [[tag for tag in has if has[tag][row]] for row in range(N)]
    starts = np.concatenate([[0], np.cumsum([len(tags) for tags in of_rows])])
    return x, queries, has, Tags(starts, np.concatenate(of_rows).astype(np.int64))


@pytest.mark.parametrize("name", TRIED)
def test_searches_for_a_tag_answer_its_rows_alone(name: str, tmp_path: Path, kept_engines: None) -> None:
    needs(name)
    engine = find_engine(name)
    x, queries, has, tags = tagged_world()
    what = EngineConfig(
        engine=name,
        codec=engine.capabilities.codecs[0].name,
        d=D,
        metric="cosine",
        k=K,
        M=12,
        ef_construction=100,
        ef_search=400,
    )
    with EngineProcess(what, Deployment(folder=tmp_path, n=N, tagged=True)) as process:
        assert process.has_filters()
        process.tag_rows(tags)
        finish(process.load(open_vectors(x, "base"), None))
        for tag, allowed in has.items():
            rows = np.flatnonzero(allowed)
            truth = rows[np.argsort(-scores("cosine", x[rows], queries), axis=1)[:, :K]]
            for scan in (False, True):
                found = process.search_tagged(queries, K, np.full(NQ, tag), scan=scan).ids
                assert set(found[found >= 0].tolist()) <= set(rows.tolist())
                hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]
                assert np.mean(hits) / K > (0.999 if scan and name not in SHOW_NO_PLAN else 0.95)
                plan = process.answers_from_index(tag, scan=scan)
                if name in SHOW_NO_PLAN:
                    assert plan is None
                elif name != "pgvector" or scan:  # whose planner may scan few rows by itself
                    assert plan is not scan
        without = process.search(queries, K).ids  # a search without a filter is left as it was
        nearest = np.argsort(-scores("cosine", x, queries), axis=1)[:, :K]
        hits = [len(set(a) & set(b)) for a, b in zip(without.tolist(), nearest.tolist(), strict=True)]
        assert np.mean(hits) > 9


def test_an_engine_whose_filtered_search_is_not_built_says_so(tmp_path: Path, kept_engines: None) -> None:
    what = EngineConfig(
        engine="hnswlib", codec="float32", d=D, metric="cosine", k=K, M=8, ef_construction=50, ef_search=50
    )
    with EngineProcess(what, Deployment(folder=tmp_path, n=N)) as process:
        assert not process.has_filters()
