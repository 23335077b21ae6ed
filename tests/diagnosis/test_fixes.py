"""Prescriptions in their order: the cheapest first, unless each search pays for it."""

import pytest

from tuner.diagnosis.fix_builder import Fix
from tuner.diagnosis.fixes import ranked, slow_last
from tuner.types import FixKind, Prescription, Recall


def offered(kind: FixKind, ratio: float) -> tuple[Prescription, Fix]:
    made = Prescription(
        kind=kind,
        title=kind,
        label="HNSW16,PQ32x8",
        search_param="ef_search",
        value=100,
        factor=1.0,
        recall=Recall(mean=0.97, lower=0.96, p5=0.9, share_below_half=0.0, n_queries=500),
        ndis_per_query=1_000.0,
        index_bytes=1_000,
        works=True,
        latency_ratio=ratio,
    )
    return made, Fix(kind, kind, lambda: pytest.fail("not made"))


def test_the_cheapest_comes_first_unless_each_search_pays_for_it() -> None:
    kinds = [made.kind for made, _ in ranked([offered("encode", 2.0), offered("store", 14.0)])]
    assert kinds == ["store", "encode"]
    kinds = [made.kind for made, _ in slow_last([offered("store", 15.0), offered("encode", 2.0)])]
    assert kinds == ["store", "encode"]
    kinds = [made.kind for made, _ in slow_last([offered("store", 17.0), offered("encode", 2.0)])]
    assert kinds == ["encode", "store"]
