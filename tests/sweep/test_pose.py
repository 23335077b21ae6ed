"""The one way to pose a problem: what it holds, what is asked before it takes long, what it refuses."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.runtime.journal import Journal
from tuner.runtime.steps import result_of
from tuner.sweep.pose import LINKS, PREPARED, PosedProblem, pose, read_profile
from tuner.types import Event, Note, Options, Profile, QuerySet, Space, StageFinished

OPTIONS = Options(recall=0.9, k=5, metric="l2", threads=1, n_queries=40, space=Space(codecs=("SQ8",)))


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)


def exact(base: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    distances = ((queries[:, None, :].astype(np.float64) - base[None]) ** 2).sum(axis=2)
    return np.sort(distances, axis=1)[:, k - 1]


def test_rows_held_out_are_asked_for_and_are_not_indexed(rows: np.ndarray, tmp_path: Path) -> None:
    posed: PosedProblem = result_of(
        pose(Journal(tmp_path, {}, resume=False), open_vectors(rows, "base"), None, OPTIONS, tmp_path)
    )
    held_out = np.array(posed.query_set.held_out_rows)
    assert len(held_out) == 40
    assert posed.rows is not None
    assert sorted([*held_out, *posed.rows]) == list(range(300))
    assert posed.n == len(posed.rows) == 260
    np.testing.assert_array_equal(posed.raw(posed.everyone), rows[held_out])
    problem = posed.problem
    assert sorted(problem.order) == list(range(40))
    np.testing.assert_allclose(problem.truth.kth_distance, exact(rows[posed.rows], rows[held_out], 5), 1e-5)
    assert problem.links_path == tmp_path / LINKS


def test_what_cannot_be_accepted_costs_nothing_but_a_profile(rows: np.ndarray, tmp_path: Path) -> None:
    def refuse(profile: Profile, query_set: QuerySet) -> Iterator[Event]:
        yield Note(f"{profile.n} rows, {query_set.n} queries")
        raise InputError("not these")

    events: list[Event] = []
    journal = Journal(tmp_path, {}, resume=False)
    with pytest.raises(InputError, match="not these"):
        events.extend(pose(journal, open_vectors(rows, "base"), None, OPTIONS, tmp_path, accept=refuse))
    assert not (tmp_path / PREPARED).exists()
    assert [cost.name for cost in journal.costs] == ["profile"]


def test_a_profile_is_read_once(rows: np.ndarray, tmp_path: Path) -> None:
    journal, base = Journal(tmp_path, {}, resume=False), open_vectors(rows, "base")
    profile = result_of(read_profile(journal, base, None, OPTIONS))
    events = list(pose(journal, base, None, OPTIONS, tmp_path, profile=profile))
    assert [event.name for event in events if isinstance(event, StageFinished)] == ["prepare", "truth"]


def test_inputs_that_do_not_fit_are_refused(rows: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dimensions"):
        result_of(
            pose(
                Journal(tmp_path, {}, resume=False),
                open_vectors(rows, "base"),
                open_vectors(rows[:50, :4].copy(), "queries"),
                replace(OPTIONS, n_queries=None),
                tmp_path,
            )
        )
