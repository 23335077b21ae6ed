"""Which codes stand for exact distances, and the aim that the curves give."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import NQ, K, World, finish

from tuner.index.assemble import Encoded
from tuner.index.encoders import Encoder
from tuner.prediction.ceilings import Pool, encode_rows, make_pool
from tuner.sweep import proxy_graph as one_graph
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import (
    CURVE_QUERIES,
    LEAST_CEILING,
    ProxyCodec,
    ProxyCodes,
    build_graph,
    choose_proxy,
    trace_curves,
)
from tuner.types import Ceiling, CurvePoint, Metric, Options, Space, Steps


def problem_of(one: World, **changes: Any) -> Problem:
    settings: dict[str, Any] = {
        "options": Options(recall=0.8, k=K, space=Space(M=(6, 12), ef_construction=40)),
        "base": one.base,
        "raw": one.raw,
        "queries": one.queries,
        "truth": one.truth,
        "order": np.arange(NQ),
        "links_path": one.links_path,
        "threads": 1,
    }
    return Problem(**{**settings, **changes})


def pool_of(one: World) -> Pool:
    return make_pool(one.base, one.queries, one.truth)


# ---------------------------------------------------------------- the proxy


def scanned(one: World, encoder: Encoder) -> float:
    """Return recall of a scan of all codes, by brute force."""
    decoded = encoder.storage.sa_decode(encode_rows(one.base, encoder)).astype(np.float64)
    asked = encoder.transform(one.queries).astype(np.float64)
    near = np.argsort(((asked[:, None, :] - decoded[None]) ** 2).sum(axis=2), axis=1)[:, :K]
    return one.recall(near)


@pytest.mark.parametrize(("metric", "codec"), [("cosine", "SQ8"), ("l2", "SQ8"), ("ip", "fp16")])
def test_real_ceilings_choose_the_stand_in(
    world: Callable[..., World], encoded: Callable[..., Encoded], metric: Metric, codec: str
) -> None:
    """For inner products the added column takes SQ8 below the limit."""
    one = world(metric)
    found = finish(choose_proxy(problem_of(one), pool_of(one)))
    assert found.codec == codec
    codes = ProxyCodes(one.base, found)
    assert codes.ceiling == found.ceiling == pytest.approx(scanned(one, codes.encoder), abs=1 / (NQ * K))
    assert found.ceiling >= LEAST_CEILING
    if codec == "fp16":
        assert scanned(one, encoded(metric, "SQ8").encoder) < LEAST_CEILING


@pytest.mark.parametrize(
    ("ceilings", "codec", "ceiling", "builder"),
    [
        ({"SQ8": 0.97, "fp16": 1.0, "bytes": 0.97}, "SQ8", 0.97, "bytes"),
        ({"SQ8": 0.98, "fp16": 1.0, "bytes": 0.9699}, "SQ8", 0.98, "SQ8"),
        ({"SQ8": 0.9699, "fp16": 0.97, "bytes": 0.9}, "fp16", 0.97, "fp16"),
        ({"SQ8": 0.5, "fp16": 0.9699, "bytes": 0.99}, "fp32", 1.0, "fp32"),
    ],
)
def test_the_cheapest_codec_whose_ceiling_is_high_enough(
    world: Callable[..., World],
    monkeypatch: pytest.MonkeyPatch,
    ceilings: dict[str, float],
    codec: str,
    ceiling: float,
    builder: str,
) -> None:
    asked: list[tuple[str, int, tuple[int, ...]]] = []

    def planted(
        pool: Pool, encoder: Encoder, codes: Any, stores: Any, factors: Any, train_s: float
    ) -> Ceiling:
        name = encoder.codec.name
        asked.append((name, pool.depth, codes.shape))
        recall_at = {1: ceilings[name]}
        return Ceiling(codec=name, dims=28, cut="none", code_bytes=1, recall_at=recall_at, train_s=train_s)

    monkeypatch.setattr(one_graph, "measure_ceiling", planted)
    one = world("cosine")
    pool = pool_of(one)
    found = finish(choose_proxy(problem_of(one), pool))
    assert (found.codec, found.ceiling) == (codec, ceiling)
    tried = {"SQ8": ["SQ8", "bytes"], "fp16": ["SQ8", "fp16", "bytes"], "fp32": ["SQ8", "fp16"]}[codec]
    assert [name for name, *_ in asked] == tried
    # judged on twenty times as many rows as are asked for, and only those are encoded
    shallow = pool.shallow(20 * K)
    assert {depth for _, depth, _ in asked} == {20 * K}
    assert {shape[0] for *_, shape in asked} == {len(shallow.rows)}
    codes = ProxyCodes(one.base, found)
    assert (codes.encoder.codec.name, codes.encoder.projection.dims) == (codec, one.base.d)
    assert codes.builder.codec.name == builder


@pytest.mark.parametrize("metric", ["cosine", "ip"])
def test_float32_codes_are_the_base_itself(world: Callable[..., World], metric: Metric) -> None:
    one = world(metric)
    found = finish(choose_proxy(problem_of(one), pool_of(one), ()))
    encoded = ProxyCodes(one.base, found).encoded
    assert np.shares_memory(encoded.codes, one.base.x)
    assert encoded.codes.shape == (one.base.n, 4 * one.base.d)
    np.testing.assert_array_equal(encoded.encoder.transform(one.queries), one.queries)


def test_other_codes_are_made_once_when_they_are_asked_for(
    world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world("ip")
    found = finish(choose_proxy(problem_of(one), pool_of(one)))
    assert found.codec == "fp16"
    calls = []

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return encode_rows(*arguments)

    monkeypatch.setattr(one_graph, "encode_rows", counted)
    codes = ProxyCodes(one.base, found)
    assert calls == []
    encoded = codes.encoded
    assert codes.encoded is encoded
    assert len(calls) == 1
    np.testing.assert_array_equal(encoded.codes, encoded.encoder.encode(np.array(one.base.x)))
    assert encoded.codes.shape == (one.base.n, 2 * 32)  # 29 columns, padded


# ---------------------------------------------------------------- the graph and its curves


def test_the_graph_has_the_most_links_of_the_space(world: Callable[..., World], tmp_path: Any) -> None:
    one = world("cosine")
    problem = problem_of(one, links_path=tmp_path / "links")
    proxy = ProxyCodes(one.base, finish(choose_proxy(problem, pool_of(one))))
    links = finish(build_graph(problem, proxy))
    assert (links.M, links.ef_construction, links.n) == (12, 40, one.base.n)
    assert "encoded" not in vars(proxy)  # the build encodes as it goes


def test_the_aim_is_what_the_spread_of_hits_near_the_target_asks_for(
    world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = np.tile([6, 10], 15)
    asked: dict[str, Any] = {}
    points = (CurvePoint(M=6, ef_search=20, recall=0.9, ndis_per_query=100.0),)

    def planted(base: Any, links: Any, path: Any, encoded: Encoded, **settings: Any) -> Steps[Any]:
        asked.update(settings, encoded=encoded)
        yield 1.0
        return points, hits

    monkeypatch.setattr(one_graph, "measure_curves", planted)
    one = world("cosine")
    problem = problem_of(one)
    proxy = ProxyCodes(one.base, finish(choose_proxy(problem, pool_of(one))))
    curves = finish(trace_curves(problem, one.links, proxy))
    assert curves.points == points
    assert 0.8 < curves.aim < 1 - 0.3 * 0.2  # below the cap, so that the spread is seen
    assert curves.aim == problem.aim_of(hits)
    assert asked["target"] == problem.aim
    assert (asked["ceiling"], asked["Ms"]) == (proxy.ceiling, (6, 12))
    assert asked["encoded"] is proxy.encoded
    np.testing.assert_array_equal(asked["queries"], one.queries)
    np.testing.assert_array_equal(asked["truth"].ids, one.truth.ids)


def test_a_narrow_spread_asks_for_a_lower_aim(
    world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world("cosine")
    problem = problem_of(one)
    aims = []
    for distance in (0, 1):
        hits = np.tile([8 - distance, 8 + distance], NQ // 2)

        def planted(*_: Any, hits: Any = hits, **__: Any) -> Steps[Any]:
            yield 1.0
            return (), hits

        monkeypatch.setattr(one_graph, "measure_curves", planted)
        fp32 = finish(choose_proxy(problem, pool_of(one)))
        aims.append(finish(trace_curves(problem, one.links, ProxyCodes(one.base, fp32))).aim)
    assert aims[0] == problem.target.aim_of(np.full(NQ, 8))
    assert aims[0] < aims[1] < 1 - 0.3 * 0.2


def test_curves_are_measured_on_some_of_the_queries(
    world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_graph, "CURVE_QUERIES", 12)
    assert CURVE_QUERIES > 12
    one = world("cosine")
    problem = problem_of(one)
    proxy = ProxyCodes(one.base, finish(choose_proxy(problem, pool_of(one))))
    seen = []

    def planted(*_: Any, **settings: Any) -> Steps[Any]:
        seen.append(len(settings["queries"]))
        yield 1.0
        return (), np.tile([8, 9], 6)

    monkeypatch.setattr(one_graph, "measure_curves", planted)
    finish(trace_curves(problem, one.links, proxy))
    assert seen == [12]


def test_a_stand_in_is_data_that_survives_its_codes(world: Callable[..., World]) -> None:
    one = world("l2")
    found = finish(choose_proxy(problem_of(one), pool_of(one)))
    again = ProxyCodec(found.codec, found.ceiling, bytes(found.trained))
    first, second = (ProxyCodes(one.base, each).encoded.codes for each in (found, again))
    np.testing.assert_array_equal(first, second)
