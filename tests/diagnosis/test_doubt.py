"""Causes that do not add up to the loss are in doubt, and the headline says so first."""

from dataclasses import replace

import faiss
import numpy as np
import pytest

import tuner
from tuner.report.diagnosis import cause_rows, headline
from tuner.types import Cause, Split

pytestmark = pytest.mark.usefixtures("few_rounds")


def split(recall: float, **shares: float) -> Split:
    """Return a loss with its parts; the residual is what they leave over."""
    causes = tuple(Cause(name=name, share=share, text="seen") for name, share in shares.items())  # type: ignore[arg-type]
    return Split(
        hits=np.zeros(1, dtype=np.int64),
        recall=recall,
        causes=causes,
        residual=1 - recall - sum(shares.values()),
        drift=None,
        by_id=recall,
        scan={},
        ndis_per_query=1.0,
        hops_per_query=1.0,
    )


@pytest.mark.parametrize(
    ("recall", "shares", "adds_up"),
    [
        (0.86, {"search": 0.14, "graph": 0.0}, True),
        (0.86, {"graph": 0.59, "search": 0.14}, False),  # .59 too much, more than the search
        (0.86, {"codec": 0.0, "graph": 0.0}, False),  # nothing explains it
        (0.86, {"search": 0.08, "graph": 0.02}, False),  # .04 too little, more than the graph
        (0.57, {"codec": 0.454, "search": 0.013}, True),  # .037 too much, and only a little cause is smaller
        (0.90, {"codec": 0.07, "graph": 0.041}, True),
        (1.0, {"codec": 0.0}, True),
        (0.999, {"search": 0.0}, True),
    ],
)
def test_what_is_left_over_is_smaller_than_each_cause_that_weighs(
    recall: float, shares: dict[str, float], adds_up: bool
) -> None:
    assert split(recall, **shares).adds_up is adds_up


def test_the_headline_begins_with_the_doubt(small: tuple[np.ndarray, np.ndarray]) -> None:
    x, q = small
    index = faiss.index_factory(x.shape[1], "L2norm,HNSW8,Flat")
    index.add(x)
    found = tuner.diagnose(index, x, q, metric="cosine")
    assert found.adds_up
    assert headline(found).startswith("search: ")
    doubted = replace(found, residual=-0.63, adds_up=False)
    loss = 1 - found.recall.mean
    begins = f"in doubt, the causes do not add up (0.6300 too much for a loss of {loss:.4f})"
    assert headline(doubted).startswith(begins)
    assert "search: ef_search 16" in headline(doubted)
    shown = {name: text for name, _, text in cause_rows(doubted)}
    assert shown["residual"] == f"{begins.removeprefix('in doubt, ')}: none is sure"
    assert "in doubt" not in headline(replace(doubted, first=None))
