"""Every ef_search on the way to a point is kept, with bounds as wide as the point's own."""

from dataclasses import replace

import numpy as np
import pytest
from test_answer import point

from tuner.recall.target import summarize, usual_quantile, widened
from tuner.sweep.tried import lowered, with_tries_of
from tuner.types import TriedEf


def tried(ef_search: int, recall: float, ratio: float) -> TriedEf:
    return TriedEf(
        ef_search=ef_search, recall=recall, lower=recall - 0.01, ndis_per_query=100.0, time_ratio=ratio
    )


def test_a_bound_is_as_wide_as_if_it_had_been_drawn_so() -> None:
    hits = np.random.default_rng(0).binomial(10, 0.9, 500)
    usual = summarize(hits, 10, 0.95)
    wide = summarize(hits, 10, 0.95, 1.3 * usual_quantile(500, 0.95))
    assert widened(usual.mean, usual.lower, 500, 1.3) == pytest.approx(wide.lower, abs=1e-12)
    assert widened(usual.mean, usual.lower, 500, 1.0) == pytest.approx(usual.lower, abs=1e-12)


class Problem:
    """As much of a problem as bounds need."""

    n_queries = 500
    options = type("Options", (), {"confidence": 0.95})()
    target = type("Target", (), {"width_in_errors": 2.0})()


def test_tries_of_both_stages_are_kept_once_and_in_order() -> None:
    before = replace(
        point("SQ8", 8, 100, 2e-4, ef_search=40), tried=(tried(30, 0.93, 0.75), tried(50, 0.965, 1.25))
    )
    now = replace(point("SQ8", 8, 100, 4e-4, ef_search=50), tried=(tried(60, 0.97, 1.2),))
    found = with_tries_of(Problem(), now, before)  # type: ignore[arg-type]
    assert [each.ef_search for each in found.tried] == [30, 40, 60], "its own ef_search is no try"
    assert [each.time_ratio for each in found.tried] == pytest.approx([0.375, 0.5, 1.2])
    assert found.tried[1].recall == before.recall.mean
    assert found.tried[1].lower < before.recall.lower
    assert found.tried[2].lower == 0.97 - 0.01


def test_rows_that_were_added_lower_what_was_tried() -> None:
    other = (tried(30, 0.93, 0.75), tried(50, 0.95, 1.0))
    (left,) = lowered(replace(point("SQ8", 8, 100, 2e-4, ef_search=50), tried=other), 0.02)
    assert left.ef_search == 30
    assert (left.recall, left.lower) == pytest.approx((0.91, 0.90))
