"""Names of contestants, and our ideas switched off."""

from pathlib import Path

import numpy as np
import pytest
from conftest import finish, planted_rows
from planted_answers import D

from benchmarks.sweep import contestants
from benchmarks.sweep.contestants.ablations import IDEAS, GraphOfEachM, switched_off
from benchmarks.sweep.contestants.ours import keeping_builders
from tuner.data.base import prepare
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.index.codecs import quantizer
from tuner.index.encoders import train
from tuner.index.graph import build
from tuner.index.projections import Projection
from tuner.runtime.steps import result_of
from tuner.sweep.run import sweep
from tuner.sweep.stage_options import StageOptions
from tuner.types import Options, Space


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


@pytest.mark.parametrize("idea", [idea for idea in IDEAS if idea])
def test_an_ablation_changes_what_a_stage_is_made_of(idea: str) -> None:
    assert switched_off(idea)[0] != StageOptions()
    assert switched_off("")[0] == StageOptions()


@pytest.mark.parametrize("idea", ["native-codecs", "native-M", "no-ceilings"])
def test_a_sweep_runs_without_an_idea(idea: str, tmp_path: Path) -> None:
    """Each in a small space; where a graph of its own is built for something, the builds are listed."""
    rows = planted_rows(1500, D, seed=2)
    space = Space(M=(4, 8), codecs=("SQ8",), cuts=(1.0,), rerank_factors=(1,))
    options = Options(recall=0.8, metric="l2", threads=1, n_queries=100, space=space)
    stages, builds = switched_off(idea)
    stages, builders = keeping_builders(stages, options)
    steps = sweep(open_vectors(rows, "base"), None, options, tmp_path, tmp_path / "work", stages=stages)
    assert result_of(steps).status == "reached"
    assert len(builders) == 1
    assert (len(builds) > 1) == (idea != "no-ceilings")


def test_links_of_each_size_know_the_slots_of_each_graph(tmp_path: Path) -> None:

    rows = planted_rows(400, D, seed=2)
    nothing = np.zeros(0, dtype=np.int64)
    base = finish(prepare(open_vectors(rows, "base"), "l2", nothing, 1.0, tmp_path / "base.f32"))
    encoder = train(quantizer("fp32", D), Projection("none", D), None, "l2", rows, 0)
    graphs = {M: finish(build(base, encoder, M, 40, 0, tmp_path / str(M))) for M in (4, 8)}
    both = GraphOfEachM.of(graphs, {M: str(tmp_path / str(M)) for M in graphs})
    assert [both.n_slots(M) for M in (4, 8)] == [graphs[M].n_slots(M) for M in (4, 8)]
    assert both.M == 8
    assert graphs[4].n_slots(4) != graphs[8].n_slots(4)  # levels are drawn for each M
