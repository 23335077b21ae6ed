"""Which codecs are worth an index, by hand: planted ceilings, costs and candidates."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import World

from tuner.index.codec_view import CodecView
from tuner.index.codecs import quantizer
from tuner.index.encoders import train
from tuner.index.projections import Projection, fit_rotation
from tuner.prediction.ceilings import encode_rows
from tuner.prediction.kernel_costs import KernelCost
from tuner.prediction.surface import Candidate
from tuner.space import default_space
from tuner.sweep.codec_bounds import (
    HALF_THE_BYTES_LOSS,
    RERANKED_SLACK,
    SLACK,
    SLOW_SLACK,
    TRUNCATION_LOSS,
    USELESS_CUT,
    front_of,
    hope,
    hopeless_projection,
    is_beaten,
    ruled_out,
)
from tuner.sweep.codec_context import CodecContext, CodecLedger, guess_cost
from tuner.sweep.codec_costs import FullSize
from tuner.sweep.codec_space import codecs_at, family, projections_of, sensible, views_in_order
from tuner.sweep.judged_codes import JudgedCodes, n_encoded
from tuner.sweep.judging_limits import JudgingLimits, limited, measure_limits
from tuner.sweep.rough_codecs import kernels_of, rough_encoders
from tuner.types import Ceiling, Configuration, Memory, Options, Space

D = 64
AIM = 0.96
WHOLE = Projection("none", D)


def options(**space: Any) -> Options:
    return Options(recall=0.95, space=Space(**{"codecs": ("fp32", "SQ8"), **space}))


def context(**changes: Any) -> CodecContext:
    """Return a context whose problem is no more than its options, its aim and its d."""
    settings: dict[str, Any] = dict.fromkeys(
        (
            *("graph", "curves", "sample", "rotation", "judged", "pool", "shallow", "rerankings", "full"),
            "measure_ceiling",
        )
    )
    problem = SimpleNamespace(
        options=options(rerank_factors=(1, 2, 4)), aim=AIM, base=SimpleNamespace(d=D, n=1000)
    )
    settings |= {"problem": problem, "kernels": {}, "stores": {"SQ8": None, "fp16": None}, "fetch_s": 0.0}
    settings["limits"] = JudgingLimits(product_s=1e-11, build_s=1.0)
    return CodecContext(**{**settings, **changes})


def knowing(*ceilings: Ceiling) -> tuple[CodecContext, CodecLedger]:
    """Return a context, and a ledger in which these ceilings are known."""
    return context(), CodecLedger(ceilings=list(ceilings))


def view_of(codec: str, projection: Projection) -> CodecView:
    return CodecView(codec, projection.dims, projection.cut)


def ceiling(
    codec: str,
    recall: float | None = None,
    projection: Projection = WHOLE,
    with_store: dict[str, Any] | None = None,
) -> Ceiling:
    """Return a ceiling whose re-ranking by 2 and 4 leaves a half and a quarter of the misses."""
    known = {} if recall is None else {1: recall, 2: 1 - (1 - recall) / 2, 4: 1 - (1 - recall) / 4}
    return Ceiling(
        codec=codec,
        dims=projection.dims,
        cut=projection.cut,
        code_bytes=quantizer(codec, projection.dims).code_bytes,
        recall_at=known,
        recall_with=with_store or {},
        train_s=0.0,
    )


# ---------------------------------------------------------------- the space


@pytest.mark.parametrize(
    ("d", "kept"),
    [
        (96, (6, 8, 12, 16, 24, 32, 48)),  # 8 x 48 = 4 x 96
        (95, (6, 8, 12, 16, 24, 32)),
        (50, (6, 8, 12, 16, 24)),
        (16, (6, 8)),
        (12, (6,)),
        (4, (6,)),  # never none
    ],
)
def test_links_take_no_more_than_the_vectors(d: int, kept: tuple[int, ...]) -> None:
    space = default_space()
    found = sensible(space, d)
    assert (found.M, found.codecs) == (kept, space.codecs)


def test_views_are_cut_to_multiples_of_8_whole_first() -> None:
    found = projections_of(options(cuts=(0.25, 1.0, 0.5), cut_kinds=("pca", "truncate")), 100)
    expected = [Projection("none", 100)]
    expected += [Projection(cut, dims) for dims in (48, 24) for cut in ("pca", "truncate")]  # 50 is 6.25 x 8
    assert [found[0], *sorted(found[1:], key=lambda v: (-v.dims, v.cut))] == expected
    assert [projection.dims for projection in found] == [100, 48, 48, 24, 24]


def test_views_that_are_no_cut_or_too_small_or_there_already_are_left_out() -> None:
    assert projections_of(options(cuts=(0.99, 0.1), cut_kinds=("pca",)), 32) == []  # 32 of 32, and 0
    assert projections_of(options(cuts=(0.5, 0.45), cut_kinds=("pca",)), 32) == [Projection("pca", 16)]
    assert projections_of(options(cuts=(0.25,), cut_kinds=("truncate",)), 32) == [Projection("truncate", 8)]
    assert projections_of(options(cuts=(1.0,)), 3) == [Projection("none", 3)]


def test_product_codecs_see_all_dimensions_only() -> None:
    asked = options(codecs=("fp32", "PQd/4x8", "OPQd/4x8", "RaBitQ1", "PQ16x8"))
    whole = [codec.name for codec in codecs_at(asked, WHOLE)]
    assert whole == ["fp32", "PQ16x8", "OPQ16x8", "RaBitQ1"]  # d/4 is 16: the same codec once
    assert [codec.name for codec in codecs_at(asked, Projection("pca", 32))] == ["fp32", "RaBitQ1"]
    assert [codec.width for codec in codecs_at(asked, Projection("pca", 32))] == [32, 32]


def test_finer_codecs_of_a_family_are_judged_before_coarser_ones() -> None:
    asked = options(
        codecs=("SQ4", "fp16", "RaBitQ1", "SQ8", "fp32", "RaBitQ4", "SQ6", "PQd/4x8", "tqmse2", "tqmse4"),
        cuts=(0.5, 1.0),
        cut_kinds=("pca",),
    )
    order = [(view.cut, view.codec) for view in views_in_order(asked, D)]
    names = ["fp32", "SQ8", "SQ6", "SQ4", "RaBitQ4", "RaBitQ1", "tqmse4", "tqmse2", "PQ16x8", "fp16"]
    assert order[:10] == [("none", name) for name in names]
    assert order[10:] == [("pca", name) for name in names if name != "PQ16x8"]


def test_every_codec_of_the_default_space_has_afamily() -> None:
    families = {name: family(quantizer(name, D).name) for name in default_space().codecs}
    assert families["OPQd/4x8"] == "OPQ"
    assert families["PQd/2x4"] == "PQ"
    assert {families[name] for name in ("SQ8", "SQ6", "SQ4")} == {"SQ"}
    assert {families[name] for name in ("fp32", "fp16", "bf16")} == {"fp32", "fp16", "bf16"}


# ---------------------------------------------------------------- the best to hope for


def test_without_knowledge_everything_is_hoped_for() -> None:
    best, with_store = hope(*knowing(), ceiling("SQ4"))
    assert best == {1: 1.0, 2: 1.0, 4: 1.0}
    assert with_store == {"SQ8": {1: 1.0, 2: 1.0, 4: 1.0}, "fp16": {1: 1.0, 2: 1.0, 4: 1.0}}


def test_no_codec_keeps_more_than_float32_or_a_finer_one_of_itsfamily() -> None:
    known = [ceiling("fp32", 1.0), ceiling("SQ8", 0.992, with_store={"fp16": {2: 0.995, 4: 0.998}})]
    known.append(ceiling("RaBitQ8", 0.98))  # another family
    made = knowing(*known)
    best, with_store = hope(*made, ceiling("SQ6"))
    assert best == pytest.approx({1: 0.992, 2: 0.996, 4: 0.998})
    assert with_store == {"SQ8": {1: 1.0, 2: 1.0, 4: 1.0}, "fp16": {1: 1.0, 2: 0.995, 4: 0.998}}
    assert hope(*made, ceiling("tqmse4"))[0] == {1: 1.0, 2: 1.0, 4: 1.0}
    assert hope(*made, ceiling("RaBitQ4"))[0] == pytest.approx({1: 0.98, 2: 0.99, 4: 0.995})
    # a coarser one says nothing of a finer one
    assert hope(*knowing(ceiling("SQ4", 0.9)), ceiling("SQ8"))[0][1] == 1.0


def test_float32_on_a_cut_bounds_every_codec_on_that_cut_alone() -> None:
    cut = Projection("pca", 32)
    known = [ceiling("fp32", 1.0), ceiling("fp32", 0.98, cut), ceiling("SQ8", 0.97)]
    made = knowing(*known)
    assert hope(*made, ceiling("RaBitQ4", projection=cut))[0] == pytest.approx({1: 0.98, 2: 0.99, 4: 0.995})
    assert hope(*made, ceiling("RaBitQ4", projection=Projection("truncate", 32)))[0][1] == 1.0
    assert hope(*made, ceiling("RaBitQ4"))[0][1] == 1.0


def test_a_rotation_is_hoped_to_leave_seven_tenths_of_the_misses() -> None:
    made = knowing(ceiling("PQ16x8", 0.9))
    assert hope(*made, ceiling("OPQ16x8"))[0] == pytest.approx({1: 0.93, 2: 0.965, 4: 0.9825})
    assert hope(*made, ceiling("OPQ32x8"))[0][1] == 1.0


def test_what_has_no_ceiling_bounds_nothing() -> None:
    assert hope(*knowing(ceiling("fp32"), ceiling("SQ8")), ceiling("SQ4"))[0][1] == 1.0


@pytest.mark.parametrize(("recall", "hoped"), [(0.9399, 0.0), (0.9401, 1.0)])
def test_half_the_bytes_of_a_clear_miss_miss_too(recall: float, hoped: float) -> None:
    """The aim less .02, whatever the family: tqmse4 has 32 bytes, RaBitQ1 fewer than half of SQ8's 64."""
    limit = AIM - HALF_THE_BYTES_LOSS
    assert limit == pytest.approx(0.94)
    made = knowing(ceiling("SQ8", recall))
    best, _ = hope(*made, ceiling("tqmse4"))
    assert best == {1: hoped, 2: 1.0, 4: 1.0}  # with re-ranking it may still do
    more = ceiling("SQ6")
    assert 2 * more.code_bytes > 64
    assert hope(*knowing(ceiling("SQ8", 0.1)), ceiling("RaBitQ4"))[0][1] == 1.0


# ---------------------------------------------------------------- cuts that are of no use


def test_a_cut_on_which_float32_misses_the_aim_is_of_no_use() -> None:
    """With re-ranking by 4 it has .984, then .959."""
    cut = Projection("pca", 16)
    assert hopeless_projection(*knowing(ceiling("fp32", 0.936, cut)), view_of("SQ8", cut)) == ""
    reason = hopeless_projection(*knowing(ceiling("fp32", 0.836, cut)), view_of("SQ8", cut))
    assert reason == "float32 at this cut reaches 0.9590 at best"
    # float32 itself is judged, and so is what nothing is known of
    assert hopeless_projection(*knowing(ceiling("fp32", 0.1, cut)), view_of("fp32", cut)) == ""
    assert (
        hopeless_projection(
            context(),
            CodecLedger(ceilings=[ceiling("fp32", 0.1, cut)]),
            view_of("SQ8", Projection("pca", 32)),
        )
        == ""
    )
    assert hopeless_projection(*knowing(ceiling("fp32", None, cut)), view_of("SQ8", cut)) == ""
    assert hopeless_projection(*knowing(ceiling("fp32", 0.1)), view_of("SQ8", WHOLE)) == ""


@pytest.mark.parametrize(
    ("pca", "truncated", "left_out"),
    [
        (0.98, 0.9755, "pca"),  # loses less than .005: no matrix is better
        (0.98, 0.9745, "truncate"),
        (0.975, 0.979, "pca"),
        (0.975, 0.981, "pca"),
    ],
)
def test_of_two_cuts_the_better_is_kept_and_truncation_where_they_are_close(
    pca: float, truncated: float, left_out: str
) -> None:
    assert TRUNCATION_LOSS == 0.005
    projections = {"pca": Projection("pca", 32), "truncate": Projection("truncate", 32)}
    made = knowing(
        ceiling("fp32", pca, projections["pca"]),
        ceiling("fp32", truncated, projections["truncate"]),
    )
    reasons = {
        cut: hopeless_projection(*made, view_of("SQ8", projection)) for cut, projection in projections.items()
    }
    other = {"pca": "truncate", "truncate": "pca"}[left_out]
    assert reasons == {left_out: f"{other} to 32 dimensions keeps more recall", other: ""}


# ---------------------------------------------------------------- guessed costs


def context_with_costs(timed: dict[CodecView, tuple[float, float]]) -> tuple[CodecContext, CodecLedger]:
    """Full size 90 ns, of which 40 are cache misses of 4 lines; kernels without their hops 10 ns less."""
    full = object.__new__(FullSize)
    full.own_s, full.hop_s, full.kernel = 90.0, 200.0, KernelCost(60.0, 0.0, 4, 500.0)
    kernels = {
        CodecView("fp32", 64): full.kernel,
        CodecView("SQ8", 64): KernelCost(40.0, 0.0, 1, 500.0),  # guess 30 + 25
        CodecView("SQ8", 32, "pca"): KernelCost(30.0, 0.0, 1, 450.0),  # guess 20 + 25
        CodecView("RaBitQ4", 64): KernelCost(50.0, 0.0, 2, 650.0),  # guess 40 + 30
    }
    return context(full=full, kernels=kernels), CodecLedger(timed=timed)


def test_what_was_timed_is_not_guessed() -> None:
    made = context_with_costs({CodecView("SQ8", 64): (70.0, 1.5), CodecView("SQ8", 32, "pca"): (33.0, 1.25)})
    assert guess_cost(*made, CodecView("SQ8", 64)) == (70.0, 1.5)
    assert guess_cost(*made, CodecView("SQ8", 32, "pca")) == (33.0, 1.25)


def test_a_codec_of_which_nothing_was_timed_is_guessed_from_its_kernel() -> None:
    made = context_with_costs({CodecView("fp32", 64): (90.0, 1.0)})
    assert guess_cost(*made, CodecView("SQ8", 64)) == pytest.approx((55.0, 1.0))
    # fewer distances than the reference are not believed, more are: 650 / 500
    assert guess_cost(*made, CodecView("SQ8", 32, "pca")) == pytest.approx((45.0, 1.0))
    assert guess_cost(*made, CodecView("RaBitQ4", 64)) == pytest.approx((70.0, 1.3))


def test_a_rotated_codec_takes_what_the_plain_one_does() -> None:
    made = context_with_costs({CodecView("PQ16x8", 64): (33.0, 1.2)})
    made[0].kernels[CodecView("OPQ16x8", 64)] = KernelCost(50.0, 9.0, 1, 650.0)
    assert guess_cost(*made, CodecView("OPQ16x8", 64)) == (33.0, 1.2)


def test_a_cut_is_off_by_what_the_whole_view_was_off_by() -> None:
    """SQ8 was guessed at 55 ns and took 66: its cut, guessed at 45, takes 54, and as many distances."""
    made = context_with_costs({CodecView("SQ8", 64): (66.0, 1.1)})
    assert guess_cost(*made, CodecView("SQ8", 32, "pca")) == pytest.approx((54.0, 1.1))
    # of another codec it says nothing
    assert guess_cost(*made, CodecView("RaBitQ4", 64)) == pytest.approx((70.0, 1.3))


# ---------------------------------------------------------------- what judging may cost

WIDE_D = 4096
PCA = Projection("pca", WIDE_D // 4)


def wide(limits: JudgingLimits, **options_of: Any) -> CodecContext:
    """Return a context of 2,000 wide rows, of which 1,200 are judged on: all are encoded."""
    problem = SimpleNamespace(
        options=replace(options(rerank_factors=(1,)), **options_of),
        aim=AIM,
        base=SimpleNamespace(d=WIDE_D, n=2000),
    )
    kernels = {
        CodecView("SQ8", WIDE_D): KernelCost(40.0, 0.0, 1, 500.0, encode_s=1e-5),
        CodecView("RaBitQ8", WIDE_D): KernelCost(40.0, 0.0, 1, 500.0, encode_s=1e-3),
    }
    shallow = SimpleNamespace(rows=range(1200))
    return context(problem=problem, limits=limits, kernels=kernels, shallow=shallow)


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (
            CodecView("OPQ1024x8", WIDE_D),
            "training and judging it at 4,096 dimensions would take about 837 CPU s, where the one graph "
            "build took 2 s and no codec may take more than 1.0 s",
        ),
        (
            CodecView("PQ1024x8", WIDE_D),
            "training and judging it at 4,096 dimensions would take about 13 CPU s, where the one graph "
            "build took 2 s and no codec may take more than 1.0 s",
        ),
        (
            CodecView("RaBitQ8", WIDE_D),  # 2,000 x 1 ms
            "training and judging it at 4,096 dimensions would take about 2 CPU s, where the one graph "
            "build took 2 s and no codec may take more than 1.0 s",
        ),
        (
            view_of("fp32", PCA),
            "finding the principal axes at 4,096 dimensions would take about 10 CPU s, where the one graph "
            "build took 2 s and no codec may take more than 1.0 s",
        ),
        (CodecView("SQ8", WIDE_D), ""),
        (CodecView("fp32", WIDE_D), ""),
    ],
)
def test_a_codec_that_costs_more_than_its_share_of_the_build_is_left_out(
    view: CodecView, reason: str
) -> None:
    assert ruled_out(wide(limited(1e-11, build_s=2.0)), CodecLedger(), view) == reason


def test_a_large_build_has_room_for_codecs_that_are_dear() -> None:
    tight = wide(limited(1e-11, build_s=60.0))
    assert ruled_out(tight, CodecLedger(), CodecView("PQ1024x8", WIDE_D)) == ""
    assert "837 CPU s" in ruled_out(tight, CodecLedger(), CodecView("OPQ1024x8", WIDE_D))


def test_codecs_together_cost_no_more_than_a_build_or_some_seconds() -> None:
    tight, sq8 = wide(limited(1e-11, build_s=6.0)), CodecView("SQ8", WIDE_D)
    assert ruled_out(tight, CodecLedger(spent_s=6.0), sq8) == ""
    assert ruled_out(tight, CodecLedger(spent_s=6.6), sq8) == (
        "judging the codecs before it took 7 CPU s, where the one graph build took 6 s and no more than 6 s "
        "go into that"
    )
    assert ruled_out(tight, CodecLedger(spent_s=6.6), CodecView("fp32", WIDE_D)) == ""


@pytest.mark.parametrize(
    ("measuring_s", "slower", "left_out"), [(1.6, 3.1, True), (1.6, 3.0, False), (1.4, 9.0, False)]
)
def test_a_codec_that_is_slow_and_takes_long_to_measure_is_left_out(
    measuring_s: float, slower: float, left_out: bool
) -> None:
    reason = (
        "a distance takes 3.1 x what it takes with the codec that the graph was built on, and measuring it "
        "would take about 2 s, where no codec may take more than 1.5 s"
    )
    assert limited(1e-11, build_s=6.0).too_slow(measuring_s, slower) == (reason if left_out else "")


def test_who_asks_for_everything_gets_it() -> None:
    tight = wide(limited(1e-11, build_s=2.0), exhaustive=True)
    assert ruled_out(tight, CodecLedger(spent_s=99.0), CodecView("OPQ1024x8", WIDE_D)) == ""


@pytest.mark.parametrize(("d", "limit"), [(1023, inf), (1024, 1.0)])
def test_only_wide_vectors_have_limits(d: int, limit: float) -> None:
    found = measure_limits(np.ones((300, d), dtype=np.float32), build_s=2.0)
    assert found.most_s == limit
    assert found.product_s >= 0


def test_a_cut_of_wide_vectors_at_which_nothing_could_win_is_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut = CodecView("fp32", 1024, "truncate")
    tight = wide(limited(1e-11, build_s=2.0))
    tight.kernels[replace(cut, codec="SQ8")] = KernelCost(1.0, 0.0, 1, 500.0)
    hopes = {"SQ8": "hopeless"}
    monkeypatch.setattr("tuner.sweep.codec_bounds.hopeless_cost", lambda _, __, view: hopes[view.codec])
    assert ruled_out(tight, CodecLedger(), cut) == USELESS_CUT
    hopes["SQ8"] = ""
    assert ruled_out(tight, CodecLedger(), cut) == ""


# ---------------------------------------------------------------- which codecs are timed


def timed_views(
    d: int, limits: JudgingLimits, **space: Any
) -> tuple[set[CodecView], dict[CodecView, CodecView]]:
    rows = np.random.default_rng(0).standard_normal((40, d), dtype=np.float32)
    problem: Any = SimpleNamespace(
        options=options(cuts=(1.0, 0.5), **space), base=SimpleNamespace(d=d, n=2000, metric="l2")
    )
    rough, timed_as = rough_encoders(problem, rows, lambda: fit_rotation(rows, "l2"), limits)
    return set(rough), timed_as


def test_of_wide_vectors_float32_alone_is_timed_on_the_cuts_and_nothing_that_is_too_dear() -> None:
    rough, timed_as = timed_views(1024, limited(1e-10, 2.0), codecs=("fp32", "SQ8", "PQd/4x8"))
    whole, cut = {CodecView("fp32", 1024), CodecView("SQ8", 1024)}, CodecView("fp32", 512, "truncate")
    assert rough == {*whole, cut}  # 13 s for the principal axes, 75 for the product codec
    assert timed_as == {**{view: view for view in whole}, cut: cut, CodecView("SQ8", 512, "truncate"): cut}


def test_of_others_every_codec_is_timed_on_principal_axes() -> None:
    rough, timed_as = timed_views(64, JudgingLimits(1e-10, 2.0), codecs=("fp32", "SQ8"))
    assert rough == {
        view for codec in ("fp32", "SQ8") for view in (CodecView(codec, 64), CodecView(codec, 32, "pca"))
    }
    assert timed_as[CodecView("SQ8", 32, "truncate")] == CodecView("SQ8", 32, "pca")


def test_a_distance_on_a_cut_costs_in_proportion_to_what_is_left() -> None:
    whole, cut = CodecView("SQ8", 1024), CodecView("fp32", 256, "pca")
    timed = {whole: KernelCost(40.0, 1.0, 16, 500.0, encode_s=8.0), cut: KernelCost(70.0, 9.0, 16, 510.0)}
    view = CodecView("SQ8", 256, "pca")
    assert kernels_of(timed, {whole: whole, view: cut}, 1024) == {
        whole: timed[whole],
        view: KernelCost(10.0, 9.0, 4, 500.0, encode_s=2.0),
    }


# ---------------------------------------------------------------- no row is encoded twice


@pytest.mark.parametrize(
    ("codec", "share", "blocks"),
    [("SQ8", 0.5, [None]), ("SQ8", 0.4, ["some", None]), ("fp16", 0.5, ["some", None])],
)
def test_rows_are_encoded_once(
    world: Callable[..., World], monkeypatch: pytest.MonkeyPatch, codec: str, share: float, blocks: list[Any]
) -> None:
    base = world("l2").base
    encoder = train(quantizer(codec, base.d), Projection("none", base.d), None, "l2", base.sample(500, 0), 0)
    rows = np.arange(base.n)[-round(share * base.n) :]
    expected, everything = encode_rows(base, encoder, rows), encode_rows(base, encoder)
    encoded: list[Any] = []

    def counted(*asked: Any) -> Any:
        encoded.append("some" if len(asked) == 3 else None)
        return encode_rows(*asked)

    monkeypatch.setattr("tuner.sweep.judged_codes.encode_rows", counted)
    problem: Any = SimpleNamespace(base=base)
    codes = JudgedCodes(problem, CodecView(codec, base.d), encoder, problem.base)
    np.testing.assert_array_equal(codes.of(rows), expected)
    np.testing.assert_array_equal(codes.whole.codes, everything)
    np.testing.assert_array_equal(codes.of(rows), expected)
    assert encoded == blocks
    assert n_encoded(len(rows), base.n) == (base.n if share == 0.5 else base.n + len(rows))


# ---------------------------------------------------------------- beaten


def candidate(memory: int, latency: float, *, rerank: bool = False) -> Candidate:
    configuration = Configuration(
        M=16,
        ef_construction=100,
        codec="SQ8",
        dims=D,
        rerank="fp16" if rerank else None,
        rerank_factor=2 if rerank else 1,
    )
    size = Memory(
        codes_bytes=memory, links_bytes=0, levels_bytes=0, ids_bytes=0, rerank_bytes=0, overhead_bytes=0
    )
    return Candidate(configuration, 40, 0.99, 500.0, latency, size)


def test_nothing_is_beaten_by_nothing() -> None:
    assert not is_beaten(CodecLedger(), quantizer("PQ16x8", D), [candidate(100, 1e9)])


@pytest.mark.parametrize(
    ("codec", "rerank", "slack", "just_kept", "just_beaten"),
    [
        ("SQ8", False, SLACK, 11.11, 11.12),  # 10 / .9
        ("SQ8", True, RERANKED_SLACK, 8.69, 8.70),  # 10 / 1.15
        ("PQ16x8", False, SLOW_SLACK, 7.99, 8.01),  # 10 / 1.25
        ("OPQ16x8", True, SLOW_SLACK, 7.99, 8.01),
    ],
)
def test_each_kind_of_candidate_has_its_slack(
    codec: str, rerank: bool, slack: float, just_kept: float, just_beaten: float
) -> None:
    assert just_kept < 10 / (1 - slack) < just_beaten
    made, of = CodecLedger(known=[candidate(100, 10.0), candidate(50, 1000.0)]), quantizer(codec, D)
    assert not is_beaten(made, of, [candidate(100, just_kept, rerank=rerank)])
    assert is_beaten(made, of, [candidate(100, just_beaten, rerank=rerank)])
    # less memory than what is fast
    assert not is_beaten(made, of, [candidate(99, just_beaten, rerank=rerank)])
    assert is_beaten(made, of, [candidate(99, 2000.0, rerank=rerank)])


def test_one_candidate_that_stands_saves_its_codec() -> None:
    made, sq8 = CodecLedger(known=[candidate(100, 10.0)]), quantizer("SQ8", D)
    lost = [candidate(100, 12.0), candidate(120, 9.0, rerank=True)]
    assert is_beaten(made, sq8, lost)
    assert not is_beaten(made, sq8, [*lost, candidate(100, 11.0)])
    assert not is_beaten(made, sq8, [*lost, candidate(120, 8.0, rerank=True)])
    # 11 is kept without re-ranking, and not with it
    assert is_beaten(made, sq8, [candidate(100, 11.0, rerank=True)])


def test_the_front_of_candidates_is_what_no_other_beats() -> None:
    several = [candidate(memory, at) for memory, at in ((100, 10.0), (90, 20.0), (110, 10.0), (120, 5.0))]
    assert front_of(several) == [several[1], several[0], several[3]]
    assert front_of([]) == []
