"""What no query set of this size could show is refused before anything is measured."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tuner.data.vectors import open_vectors
from tuner.errors import InputError, ResourceError
from tuner.recall.target import Target
from tuner.sweep.doubts import memory_doubts
from tuner.sweep.hopeless import refuse_hopeless_target
from tuner.sweep.plan import check_resources, plan
from tuner.types import Options


def best_bound(n_queries: int, recall: float) -> float:
    return Target(recall=recall, k=10, confidence=0.95, n_queries=n_queries).best_bound


@pytest.mark.parametrize(("recall", "n_queries"), [(0.9999, 200), (0.99, 100), (0.95, 40)])
def test_a_hopeless_target_names_the_queries_that_would_do(recall: float, n_queries: int) -> None:
    with pytest.raises(InputError) as caught:
        refuse_hopeless_target(Options(recall=recall), n_queries)
    found = re.search(r"give about ([\d,]+) queries", str(caught.value))
    assert found is not None
    enough = int(found[1].replace(",", ""))
    assert best_bound(enough, recall) >= recall
    assert best_bound(int(0.97 * enough) - 2, recall) < recall
    refuse_hopeless_target(Options(recall=recall), enough)


def test_a_target_of_1_is_never_shown() -> None:
    with pytest.raises(InputError, match=r"no finite number of queries .* use exact search"):
        refuse_hopeless_target(Options(recall=1.0), 10**9)


def test_few_rows_are_searched_exactly_whatever_the_target() -> None:
    x = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
    plan(open_vectors(x[:900], "base"), None, Options(recall=1.0), Path())
    with pytest.raises(InputError, match=r"recall is 0\.999, but with 400 queries"):
        plan(open_vectors(x, "base"), None, Options(recall=0.999), Path())


def test_native_graphs_take_disk_space() -> None:
    """Each is kept until the finalists are timed: 8 M + 12 bytes a row, of fp32 on every M of the space."""
    x = np.random.default_rng(0).normal(size=(2000, 32)).astype(np.float32)
    base, queries = open_vectors(x, "base"), open_vectors(x[:400], "queries")
    asked = Options(recall=0.9)
    asked = replace(asked, space=replace(asked.space, M=(6, 8), cuts=(1.0,)))
    usual = plan(base, queries, asked, Path())
    native = plan(base, queries, replace(asked, native=("fp32",)), Path())
    assert native.disk_bytes - usual.disk_bytes == 2000 * (8 * 6 + 12 + 8 * 8 + 12)


def test_a_limit_on_the_runs_memory_is_held_against_the_plan(tmp_path: Path) -> None:
    base = open_vectors(np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32), "base")
    options = Options(recall=0.9, run_memory_bytes=50_000_000)
    with pytest.raises(
        ResourceError, match=r"needs about [\d,]+ MB of memory and the limit on it is 50 MB: raise it"
    ):
        check_resources(plan(base, None, options, tmp_path), options, tmp_path)
    enough = replace(options, run_memory_bytes=4_000_000_000)
    check_resources(plan(base, None, enough, tmp_path), enough, tmp_path)


def test_a_limit_that_was_passed_is_told() -> None:
    assert memory_doubts(2_000, None) == memory_doubts(2_000, 2_000) == ()
    (doubt,) = memory_doubts(3_000_000_000, 2_000_000_000)
    assert "took 3 GB of memory at its peak, more than its limit of 2 GB" in doubt.text


def test_a_limit_on_memory_is_not_hopeless_before_copies_are_known() -> None:
    x = open_vectors(np.zeros((5_000, 64), dtype=np.float32), "base")
    tight = Options(recall=0.9, max_memory_per_vector=20)
    with pytest.raises(InputError, match="max_memory is"):
        plan(x, None, tight, Path())
    assert plan(x, None, replace(tight, duplicates="collapse"), Path()).n_indexed == 4_000
