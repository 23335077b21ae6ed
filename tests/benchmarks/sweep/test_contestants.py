"""Names of contestants, and our ideas switched off."""

from pathlib import Path

import numpy as np
import pytest
from conftest import finish, planted_rows
from planted_answers import D

import tuner.index.graph
import tuner.sweep.codecs
import tuner.sweep.frontier
import tuner.sweep.proxy_graph
import tuner.sweep.run
from benchmarks.sweep import contestants
from benchmarks.sweep.contestants.ablations import IDEAS, LinksOfEachM, switched_off
from tuner.data.base import prepare
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.index.codecs import quantizer
from tuner.index.encoders import train
from tuner.index.graph import build
from tuner.index.projections import Projection


def test_every_name_of_the_issue_is_there() -> None:
    assert {"ours", "oracle", "tpe25", "tpe100", "nsga100", "random25", "random100"} <= set(
        contestants.REGISTRY
    )
    assert {"hnswlib16", "faiss32", "faiss32-SQ8", "parameter-space", "autofaiss"} <= set(
        contestants.REGISTRY
    )
    assert len(contestants.ABLATIONS) == 5
    assert {f"ours-{idea}" for idea in IDEAS if idea} <= set(contestants.ABLATIONS)


def test_groups_open_and_any_number_of_trials_has_a_name() -> None:
    found = contestants.expand("ours, folklore,tpe7,ours")
    assert found == ("ours", "hnswlib16", "faiss32", "faiss32-SQ8", "tpe7")
    for name in ("tpe", "tpe0", "grid10", "our"):
        with pytest.raises(InputError, match="no contestant is called"):
            contestants.expand(name)


def replaced() -> dict[str, object]:
    """Everything in the tuner that an ablation may replace."""
    modules = (
        tuner.index.graph,
        tuner.sweep.codecs,
        tuner.sweep.frontier,
        tuner.sweep.proxy_graph,
        tuner.sweep.run,
    )
    return {f"{module.__name__}.{name}": value for module in modules for name, value in vars(module).items()}


@pytest.mark.parametrize("idea", [idea for idea in IDEAS if idea])
def test_an_ablation_replaces_something_and_puts_it_back(idea: str) -> None:
    before = replaced()
    with switched_off(idea):
        during = replaced()
    assert [name for name in before if before[name] is not during[name]]
    after = replaced()
    assert [name for name in before if before[name] is not after[name]] == []


def test_links_of_each_size_know_the_slots_of_each_graph(tmp_path: Path) -> None:

    rows = planted_rows(400, D, seed=2)
    nothing = np.zeros(0, dtype=np.int64)
    base = finish(prepare(open_vectors(rows, "base"), "l2", nothing, 1.0, tmp_path / "base.f32"))
    encoder = train(quantizer("fp32", D), Projection("none", D), None, "l2", rows, 0)
    graphs = {M: finish(build(base, encoder, M, 40, 0, tmp_path / str(M))) for M in (4, 8)}
    both = LinksOfEachM.of(graphs)
    assert [both.n_slots(M) for M in (4, 8)] == [graphs[M].n_slots(M) for M in (4, 8)]
    assert both.M == 8
    assert graphs[4].n_slots(4) != graphs[8].n_slots(4)  # levels are drawn for each M
