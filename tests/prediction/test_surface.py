"""The surface against numbers computed by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tuner.prediction.curves import Curve
from tuner.prediction.surface import Candidate, CodecCost, candidates
from tuner.types import Ceiling, Configuration, Memory

K = 10
NANO = 1e-9
CEILING = Ceiling(
    codec="SQ4",
    dims=64,
    cut="none",
    code_bytes=32,
    recall_at={1: 0.9, 2: 0.99, 4: 1.0},
    recall_with={"fp32": {2: 0.99, 4: 1.0}, "SQ8": {2: 0.98, 4: 0.985}},
    train_s=0.0,
)
COSTS = CodecCost(
    distance_s=100 * NANO,
    hop_s=300 * NANO,
    query_s=5_000 * NANO,
    rerank_s={"fp32": 200 * NANO, "SQ8": 50 * NANO},
    rerank_query_s={"fp32": 3_000 * NANO, "SQ8": 4_000 * NANO},
)
STORES = {"fp32": 256, "SQ8": 64}
CURVES = {
    M: Curve(
        M=M,
        ef_search=np.array([10.0, 40.0, 160.0]),
        recall=np.array(recall),
        ndis=np.array([100.0, 400.0, 1600.0]) * M / 8,
    )
    for M, recall in ((8, [0.8, 0.95, 0.98]), (16, [0.9, 0.96, 0.999]))
}


def memory_of(configuration: Configuration) -> Memory:
    return Memory(
        codes_bytes=configuration.M,
        links_bytes=configuration.rerank_factor,
        levels_bytes=0,
        ids_bytes=0,
        rerank_bytes=0,
        overhead_bytes=0,
    )


def found(**changes: Any) -> dict[tuple[int, str | None, int], Candidate]:
    settings: dict[str, Any] = {
        "ceiling": CEILING,
        "curves": CURVES,
        "cost": COSTS,
        "memory_of": memory_of,
        "aim": 0.95,
        "k": K,
        "ef_construction": 100,
        "ef_max": 4096,
        "stores": STORES,
        "factors": (1, 2, 4),
        "store_at": "memory",
    }
    several = candidates(**{**settings, **changes})
    named = {
        (one.configuration.M, one.configuration.rerank, one.configuration.rerank_factor): one
        for one in several
    }
    assert len(named) == len(several)
    return named


def test_which_configurations_reach_the_aim() -> None:
    """Without re-ranking .9 < .95. M=8 has .98 at best: .95 / .98 = .969 and .95 / .985 = .964 are within."""
    assert set(found()) == {
        (M, store, factor) for M in (8, 16) for store in ("fp32", "SQ8") for factor in (2, 4)
    }
    # .97 / .98 = .9898 and .97 / .985 = .985 are not, .97 / .99 = .9798 just is
    assert set(found(aim=0.97)) == {
        *((8, "fp32", factor) for factor in (2, 4)),
        *((16, store, factor) for store in ("fp32", "SQ8") for factor in (2, 4)),
    }
    # .89 / .9 = .989: M=16 without re-ranking
    assert (16, None, 1) in found(aim=0.89)
    assert (8, None, 1) not in found(aim=0.89)
    assert found(aim=1.0) == {}


def test_recall_is_ceiling_times_graph_and_latency_a_sum() -> None:
    """fp32 x4 has ceiling 1: M=8 reaches .95 at ef 40, which re-ranking needs anyway."""
    best = found()[8, "fp32", 4]
    assert (best.ceiling, best.ef_search) == (1.0, 40)
    assert best.ndis == pytest.approx(400)
    assert best.latency_s == pytest.approx((5_000 + 400 * 100 + 40 * 300 + 3_000 + 40 * 200) * NANO)
    assert best.configuration == Configuration(
        M=8, ef_construction=100, codec="SQ4", dims=64, cut="none", rerank="fp32", rerank_factor=4
    )
    assert best.memory == memory_of(best.configuration)


def test_the_ef_search_is_interpolated() -> None:
    """SQ8 x2: M=16 needs .95 / .98 of its graph, between ef 40 (.96) and 160 (.999)."""
    one = found()[16, "SQ8", 2]
    share = np.log(0.04 / (1 - 0.95 / 0.98)) / np.log(0.04 / 0.001)
    assert one.ef_search == int(np.ceil(40 * 4**share)) == 45
    assert one.ndis == pytest.approx(2 * 10 * 45)
    assert one.latency_s == pytest.approx((5_000 + 900 * 100 + 45 * 300 + 4_000 + 20 * 50) * NANO)


def test_without_reranking_nothing_is_added() -> None:
    good = replace(CEILING, recall_at={1: 1.0}, recall_with={})
    one = found(ceiling=good)[8, None, 1]
    assert one.latency_s == pytest.approx((5_000 + 400 * 100 + 40 * 300) * NANO)
    assert (one.configuration.rerank, one.configuration.rerank_at) == (None, "memory")


def test_the_beam_holds_the_candidates_that_are_reranked() -> None:
    """16 x 10 candidates need ef_search 160, although 10 would do for recall."""
    deep = replace(CEILING, recall_with={"fp32": {16: 1.0}})
    one = found(ceiling=deep, factors=(16,), aim=0.8)[16, "fp32", 16]
    assert one.ef_search == 160
    assert found(ceiling=deep, factors=(1, 16), aim=0.8, ef_max=159).keys() == {(8, None, 1), (16, None, 1)}


def test_an_ef_search_beyond_the_limit_is_no_candidate() -> None:
    assert set(found(ef_max=45)) > set(found(ef_max=44)) >= {(8, "fp32", 4), (16, "fp32", 2)}
    assert all(one.ef_search <= 44 for one in found(ef_max=44).values())


def test_a_codec_is_not_reranked_by_itself_unless_it_was_cut() -> None:
    own = replace(CEILING, codec="SQ8", code_bytes=64)
    assert {store for _, store, _ in found(ceiling=own)} == {"fp32"}
    cut = replace(own, cut="pca", dims=32, code_bytes=32)
    assert {store for _, store, _ in found(ceiling=cut)} == {"fp32", "SQ8"}


@pytest.mark.parametrize(
    ("codec", "code_bytes", "stores"),
    [
        ("fp32", 256, set()),
        ("RaBitQ9", 255, {"fp32"}),
        ("fp16", 128, {"fp32"}),
        ("SQ8", 64, {"fp32", "fp16"}),
        ("SQ6", 48, {"fp32", "fp16", "SQ8"}),
    ],
)
def test_only_a_store_finer_than_the_codes_reranks(codec: str, code_bytes: int, stores: set[str]) -> None:
    """Every store would reach recall 1, and is a candidate only if it holds more bytes than the codes."""
    ceiling = replace(
        CEILING,
        codec=codec,
        code_bytes=code_bytes,
        recall_at={1: 1.0},
        recall_with={store: {2: 1.0} for store in ("fp32", "fp16", "SQ8")},
    )
    costs = replace(
        COSTS,
        rerank_s={**COSTS.rerank_s, "fp16": 100 * NANO},
        rerank_query_s={**COSTS.rerank_query_s, "fp16": 3_500 * NANO},
    )
    several = found(ceiling=ceiling, cost=costs, stores={**STORES, "fp16": 128})
    assert set(several) == {(M, None, 1) for M in (8, 16)} | {
        (M, store, 2) for M in (8, 16) for store in stores
    }


def test_only_the_stores_and_factors_of_the_space() -> None:
    assert {key[1:] for key in found(stores={"SQ8": 64}, factors=(1, 4))} == {("SQ8", 4)}
    assert found(stores={}, factors=(1, 2, 4)) == {}


def test_a_store_on_disk_is_said_so() -> None:
    several = found(store_at="disk", aim=0.89)
    assert {one.configuration.rerank_at for key, one in several.items() if key[1]} == {"disk"}
    assert several[16, None, 1].configuration.rerank_at == "memory"
