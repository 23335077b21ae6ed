"""Copies of one vector cut an engine's graph: that is told, and no search without the index is prescribed."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from installed import needs
from planted import claims

from tuner.data.copies import copies_among
from tuner.data.vectors import open_vectors
from tuner.engine_jobs import VerifyOptions, diagnose_engine
from tuner.engine_jobs.indexed import largest_indexed_ef
from tuner.engines import Capabilities, EngineProcess, find_engine
from tuner.runtime.steps import result_of
from tuner.types import EngineConfig, EngineDiagnosis, Exported, ReportedConfig

N, NQ, D, K = 1_500, 150, 32, 10
CLAIMS = claims(N, NQ)


def with_copies() -> tuple[np.ndarray, np.ndarray]:
    """Return rows (1,500, 32) of which few are distinct, in groups of very different size, and queries."""
    rng = np.random.default_rng(0)
    distinct = rng.standard_normal((N, D)).astype(np.float32)
    rows = np.repeat(np.arange(N), rng.zipf(1.4, N).clip(1, 400))[: 3 * N]
    rng.shuffle(rows)
    return distinct[rows[:N]], rng.standard_normal((NQ, D)).astype(np.float32)


def diagnosed(x: np.ndarray, q: np.ndarray, tmp_path: Path, **other: int) -> EngineDiagnosis:
    needs("lucene")
    config = EngineConfig(
        engine="lucene", codec="FLOAT32", d=D, metric="cosine", k=K, M=16, ef_construction=100, ef_search=50
    )
    exported = Exported(settings=replace(config, **other), claims=CLAIMS)  # type: ignore[arg-type]
    base, queries = open_vectors(x, "base"), open_vectors(q, "queries")
    found = result_of(
        diagnose_engine(find_engine("lucene"), exported, base, queries, VerifyOptions(), tmp_path)
    )
    assert sum(cause.share for cause in found.causes) == pytest.approx(1 - found.recall.mean)
    return found


def test_copies_that_cut_the_graph_are_the_cause(tmp_path: Path) -> None:
    x, q = with_copies()
    n_distinct = len(np.unique(x, axis=0))
    found = diagnosed(x, q, tmp_path)
    assert found.first is not None
    assert found.first.name == "duplicates"
    assert "duplicates cut it into groups" in found.first.text
    assert f"{N - n_distinct:,} of {N:,} rows are copies" in found.first.text
    search = next(cause for cause in found.causes if cause.name == "search")
    most = int(N / np.log(N))  # from there on Lucene scans
    assert f"above {most} it answers without its index" in search.text
    assert search.share < found.first.share
    best = found.prescriptions[0]
    assert (best.kind, best.works) == ("distinct", True)
    assert best.recall.lower >= 0.95
    for each in found.prescriptions:
        assert each.settings.ef_search <= (
            n_distinct / np.log(n_distinct) if each.kind == "distinct" else most
        )
    assert found.notes == ()  # the engine searches with the ef that was asked for, though it finds fewer


def test_a_graph_that_is_poor_without_copies_is_not_put_on_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((N, D)).astype(np.float32)
    x[:30] = x[30:60]
    found = diagnosed(x, rng.standard_normal((NQ, D)).astype(np.float32), tmp_path, M=3, ef_construction=8)
    graph = next(cause for cause in found.causes if cause.name == "graph")
    assert graph.share > 0.05
    assert "30 of 1,500 rows are copies of others, but" in graph.text
    assert "duplicates" not in graph.text
    assert all(each.kind == "search" for each in found.prescriptions)


class Planner:
    """An engine that uses its index up to some ef_search; it counts how often it is asked."""

    def __init__(self, last: int) -> None:
        self.last, self.ef_search, self.n_asked = last, 0, 0

    def set_search(self, ef_search: int, oversampling: int) -> None:
        assert oversampling == 2
        self.ef_search = ef_search

    def applied(self) -> ReportedConfig:
        self.n_asked += 1
        return ReportedConfig(version="planner 1", index_used=self.ef_search <= self.last)


@pytest.mark.parametrize(("last", "found"), [(374, 374), (50, 50), (999, 999), (2_000, 1_000), (49, 0)])
def test_the_largest_ef_that_uses_the_index(last: int, found: int) -> None:
    process, can = Planner(last), find_engine("lucene").capabilities
    assert largest_indexed_ef(cast("EngineProcess", process), can, 2, 50, 1_000) == found
    assert process.n_asked <= 12


def test_engines_that_do_not_say_are_searched_as_hard_as_wanted() -> None:
    process = Planner(10)
    silent: Capabilities = find_engine("hnswlib").capabilities
    assert largest_indexed_ef(cast("EngineProcess", process), silent, 2, 50, 1_000) == 1_000
    assert process.n_asked == 0


@pytest.mark.parametrize("rows", [None, np.array([1, 2, 3, 4, 5])])
def test_rows_are_grouped_by_what_they_hold(rows: np.ndarray | None) -> None:
    x = np.array([[9, 9], [1, 2], [3, 4], [1, 2], [5, 6], [3, 4]], dtype=np.float32)
    copies = copies_among(open_vectors(x, "base"), rows)
    held = x if rows is None else x[rows]
    assert copies.n_copies == 2
    assert held[copies.first].tolist() == ([[9, 9]] if rows is None else []) + [[1, 2], [3, 4], [5, 6]]
    at = 2 if rows is None else 1  # the vector (3, 4)
    expanded = copies.expanded(np.array([[at, at - 1, -1], [at + 1, -1, -1]]), 3)
    assert held[expanded[0]].tolist() == [[3, 4], [3, 4], [1, 2]]
    assert len(set(expanded[0].tolist())) == 3
    assert expanded[1, 1:].tolist() == [-1, -1]
