"""One rule of what proves that an index answered, with planted answers."""

from __future__ import annotations

import numpy as np
import pytest

from tuner.recall.starvation import Finding, IndexUse, Starvation, finds_nearest
from tuner.recall.truth import search_exactly
from tuner.runtime.steps import result_of

N = 1_000
FED = np.ones(100, dtype=bool)


def thin(n_lost: int) -> Starvation:
    """What is found of 100 queries when so many of them lose their nearest neighbour."""
    return Starvation.between(FED, np.arange(100) >= n_lost)


@pytest.mark.parametrize(
    ("n_lost", "finding"), [(0, "unmoved"), (3, "doubtful"), (6, "doubtful"), (7, "used"), (100, "used")]
)
def test_seven_lost_and_none_gained_are_more_than_chance(n_lost: int, finding: Finding) -> None:
    """0.5 ** 7 is the first power below the level of the test, 1 %."""
    assert IndexUse(n=N, starvation=thin(n_lost)).finding == finding


def test_what_is_gained_counts_against_what_is_lost() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(200) < 0.5
    after = ~before
    swapped = Starvation.between(before, after)
    assert swapped.n_lost + swapped.n_gained == 200
    assert not swapped.falls
    gained = Starvation.between(~FED, FED)
    assert IndexUse(n=N, starvation=gained).finding == "unmoved"


@pytest.mark.parametrize(
    ("n_indexed", "finding"), [(N, "used"), (N + 1, "used"), (N - 1, "partly indexed"), (0, "partly indexed")]
)
def test_an_engine_that_has_indexed_fewer_has_no_index_of_all(n_indexed: int, finding: Finding) -> None:
    assert IndexUse(n=N, starvation=thin(50), n_indexed=n_indexed).finding == finding


def test_an_engine_that_names_no_index_has_used_none() -> None:
    assert IndexUse(n=N, starvation=thin(50), named=False).finding == "not named"
    assert IndexUse(n=N, starvation=thin(50), named=True).finding == "used"


UNMOVED, SIX_LOST, SEVEN_LOST = thin(0), thin(6), thin(7)


@pytest.mark.parametrize(
    ("named", "n_indexed", "engine", "control", "finding"),
    [
        (True, None, UNMOVED, UNMOVED, "too easy"),
        (True, None, UNMOVED, SIX_LOST, "too easy"),  # which may be chance
        (None, N, UNMOVED, UNMOVED, "too easy"),  # a library has no plan, and says how much it has indexed
        (None, None, UNMOVED, UNMOVED, "unmoved"),  # nobody says that an index answered
        (True, N, UNMOVED, None, "unmoved"),
        (True, N, UNMOVED, SEVEN_LOST, "unmoved"),  # a real graph loses: one that does not is no graph
        (False, N, UNMOVED, UNMOVED, "not named"),
        (True, N - 1, UNMOVED, UNMOVED, "partly indexed"),
        (True, N, thin(3), UNMOVED, "doubtful"),
        (True, N, thin(50), UNMOVED, "used"),
    ],
)
def test_data_are_too_easy_only_if_starving_does_nothing_to_a_graph_beside_it(
    named: bool | None,
    n_indexed: int | None,
    engine: Starvation,
    control: Starvation | None,
    finding: Finding,
) -> None:
    use = IndexUse(n=N, starvation=engine, named=named, n_indexed=n_indexed, control=control)
    assert use.finding == finding


@pytest.mark.parametrize(
    ("named", "engine", "control", "needs"),
    [
        (True, UNMOVED, None, True),
        (None, UNMOVED, None, False),
        (True, thin(3), None, False),
        (True, UNMOVED, SEVEN_LOST, False),
    ],
)
def test_a_graph_beside_it_is_built_only_where_it_could_tell(
    named: bool | None, engine: Starvation, control: Starvation | None, needs: bool
) -> None:
    assert IndexUse(n=N, starvation=engine, named=named, control=control).needs_control == needs


@pytest.mark.parametrize(
    ("ndis", "starved_ndis", "n_lost", "finding"),
    [
        (100.0, 90.0, 0, "used"),  # it computes fewer, so it is steered, however easy the data are
        (100.0, 90.1, 0, "unmoved"),
        (100.0, 90.1, 6, "unmoved"),  # a loss that may be chance proves nothing
        (100.0, 90.1, 7, "used"),
        (501.0, 500.0, 50, "unmoved"),  # half the base is looked at, whatever is lost
        (501.0, 100.0, 50, "costly"),
        (0.0, 0.0, 50, "nothing compared"),
    ],
)
def test_distances_are_believed_first(
    ndis: float, starved_ndis: float, n_lost: int, finding: Finding
) -> None:
    use = IndexUse(n=N, starvation=thin(n_lost), ndis=ndis, starved_ndis=starved_ndis)
    assert use.finding == finding


def test_shares_are_out_of_k_and_queries_are_compared_one_by_one() -> None:
    starvation = Starvation.between(np.array([10, 9, 10, 4]), np.array([10, 10, 2, 1]), k=10)
    assert starvation.found == pytest.approx(33 / 40)
    assert starvation.starved == pytest.approx(23 / 40)
    assert (starvation.n_lost, starvation.n_gained) == (2, 1)


def test_a_copy_of_the_nearest_row_is_as_good() -> None:
    x = np.random.default_rng(1).normal(size=(200, 8)).astype(np.float32)
    x[7] = x[3]
    queries = x[[3, 5]] + np.float32(0.01)
    truth = result_of(search_exactly(x, queries, 10, 5))
    found = finds_nearest(truth, x, queries, np.array([[7, 1], [6, 5]]))
    assert found.tolist() == [True, False]
    assert not finds_nearest(truth, x, queries, np.array([[-1], [-1]])).any()
