"""Prescriptions in their order: the cheapest first, unless each search pays for it."""

import pytest

from tuner.diagnosis.fix_builder import Fix
from tuner.diagnosis.fixes import ranked, slow_last, undominated
from tuner.types import FixKind, Prescription, Recall


def offered(
    kind: FixKind, ratio: float, n_bytes: int = 1_000, recall: float = 0.97, error: float = 0.0
) -> tuple[Prescription, Fix]:
    made = Prescription(
        kind=kind,
        title=kind,
        label="HNSW16,PQ32x8",
        search_param="ef_search",
        value=100,
        factor=1.0,
        recall=Recall(mean=recall, lower=recall - 0.01, p5=0.9, share_below_half=0.0, n_queries=500),
        ndis_per_query=1_000.0,
        index_bytes=n_bytes,
        works=True,
        latency_ratio=ratio,
        latency_error=error,
    )
    return made, Fix(kind, kind, lambda: pytest.fail("not made"))


def test_the_cheapest_comes_first_unless_each_search_pays_for_it() -> None:
    kinds = [made.kind for made, _ in ranked([offered("encode", 2.0), offered("store", 14.0)])]
    assert kinds == ["store", "encode"]
    kinds = [made.kind for made, _ in slow_last([offered("store", 15.0), offered("encode", 2.0)])]
    assert kinds == ["store", "encode"]
    kinds = [made.kind for made, _ in slow_last([offered("store", 17.0), offered("encode", 2.0)])]
    assert kinds == ["encode", "store"]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (offered("store", 2.0, 1_500), offered("encode", 1.2, 1_000), ["encode"]),  # larger and slower
        (offered("store", 1.2, 1_500), offered("encode", 1.2, 1_000), ["encode"]),  # larger, as fast
        (offered("store", 1.17, 1_500), offered("encode", 1.2, 1_000), ["encode"]),  # faster, but by noise
        (offered("store", 0.9, 1_500, error=0.2), offered("encode", 1.2, 1_000), ["encode"]),
        (offered("store", 0.9, 1_500), offered("encode", 1.2, 1_000), ["store", "encode"]),  # surely faster
        (offered("store", 1.2, 800), offered("encode", 1.0, 1_000), ["store", "encode"]),  # smaller
        (
            offered("store", 1.2, 1_500, 0.985),
            offered("encode", 1.2, 1_000),
            ["store", "encode"],
        ),  # finds more
        (offered("store", 1.2, 1_500, 0.975), offered("encode", 1.2, 1_000), ["encode"]),  # by chance
        (offered("store", 1.0), offered("encode", 1.0), ["store", "encode"]),  # the same in everything
        (offered("search", 2.0, 1_500), offered("encode", 1.2, 1_000), ["search", "encode"]),  # no new index
        (offered("labels", 2.0, 1_500), offered("prune", 1.2, 1_000), ["labels", "prune"]),
        (offered("encode", 1.0, 1_000), offered("rebuild", 1.5, 1_200), ["encode"]),
    ],
)
def test_what_is_worse_in_something_and_better_in_nothing_is_left_out(
    first: tuple[Prescription, Fix], second: tuple[Prescription, Fix], kept: list[str]
) -> None:
    assert [made.kind for made, _ in undominated([first, second])] == kept
    assert [made.kind for made, _ in undominated([second, first])] == kept[::-1]
