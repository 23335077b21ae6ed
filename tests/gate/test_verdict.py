"""Lines of a verdict, with planted figures."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tuner.gate.verdict import power_line, use_line
from tuner.recall.paired import Power
from tuner.recall.starvation import IndexUse, Starvation

ALL, FEW, MOST = np.ones(100, dtype=bool), np.arange(100) < 30, np.arange(100) < 90


@pytest.mark.parametrize(
    ("ndis", "starved_ndis", "thin", "kind", "status"),
    [
        (100.0, 20.0, FEW, "", "pass"),
        (1000.0, 1000.0, MOST, "", "fail"),  # everything was looked at, always
        (950.0, 20.0, FEW, "", "warn"),  # a graph that is not worth having
        (0.0, 0.0, FEW, "", "fail"),  # nothing was
        (100.0, 100.0, ALL, "", "fail"),  # ef_search is ignored
        (100.0, 50.0, ALL, "", "pass"),  # so easy that starving costs nothing
        (100.0, 20.0, FEW, "IndexFlat", "fail"),
    ],
)
def test_proof_that_the_index_was_used(
    ndis: float, starved_ndis: float, thin: NDArray[np.bool_], kind: str, status: str
) -> None:
    use = IndexUse(n=1000, starvation=Starvation.between(ALL, thin), ndis=ndis, starved_ndis=starved_ndis)
    assert use_line(use, kind).status == status


def test_too_few_queries_are_said_with_the_number_that_would_do() -> None:
    few = power_line(Power(n_queries=100, allowed=0.005, confidence=0.95, churn=0.0, per_drop=0.3))
    assert few.status == "warn"
    assert "queries would see 1.00, twice that" in few.text
    many = power_line(Power(n_queries=5000, allowed=0.005, confidence=0.95, churn=0.0, per_drop=0.3))
    assert many.status == "info"
    assert "95% power" in many.text
