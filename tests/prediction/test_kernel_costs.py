"""What a codec costs is not what a busy neighbour adds to it."""

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pytest
from conftest import World, finish

from tuner.index.codec_view import CodecView
from tuner.index.codecs import quantizer
from tuner.index.encoders import train
from tuner.index.layers import layers_of
from tuner.index.projections import Projection
from tuner.prediction import kernel_costs as module
from tuner.prediction.kernel_costs import small_graph, time_kernels
from tuner.types import FloatArray

CALL_S, DISTANCE_S, NDIS = 2e-6, {"SQ8": 20e-9, "SQ6": 30e-9}, 400.0


@pytest.mark.parametrize("slow_turns", [set(), {0}, {1, 3}, {0, 1, 2}])
def test_a_neighbour_in_some_turns_does_not_change_the_costs(
    world: Callable[..., World], slow_turns: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In those turns the coarser codec alone takes eight times as long; the other turns are its own."""
    one = world("l2")
    graph = small_graph(one.base, one.queries, seed=0)
    codecs = {name: train(quantizer(name, one.base.d), Projection("none", one.base.d), None, "l2",
                          one.base.sample(500, 0), 0) for name in DISTANCE_S}  # fmt: skip
    turns: dict[int, int] = {}

    def one_by_one(index: Any, queries: FloatArray, n_warm_up: int, k: int = 10) -> tuple[float, float]:
        turn = next(t for t, each in enumerate(graph.queries) if np.shares_memory(each, queries))
        assert turns.setdefault(turn, turn) == turn
        if k == 1:  # of an index that holds next to nothing
            return CALL_S, 1.0
        width = faiss.downcast_index(layers_of(index)[-1].storage).code_size
        name = "SQ6" if width < one.base.d else "SQ8"
        slow = 8.0 if name == "SQ6" and turn in slow_turns else 1.0
        return slow * (CALL_S + NDIS * DISTANCE_S[name]), NDIS

    monkeypatch.setattr(module, "_one_by_one", one_by_one)
    views = {CodecView(name, one.base.d): encoder for name, encoder in codecs.items()}
    found = finish(time_kernels(graph, views, codecs["SQ8"]))
    for view, cost in found.items():
        assert cost.distance_s == pytest.approx(DISTANCE_S[view.codec])
        assert cost.query_s == pytest.approx(CALL_S)
