"""Everything that can be planted, by name."""

from __future__ import annotations

from functools import cache

import faiss

from benchmarks.diagnosis import double, healthy, single
from benchmarks.diagnosis.planted import Plant


@cache
def planted_causes() -> dict[str, Plant]:
    """Return what can be planted, by name; names that begin with "healthy" plant nothing."""
    return {
        "healthy, float32": healthy.fp32,
        "healthy, 8 bits re-ranked": healthy.sq8,
        "healthy, many copies": healthy.with_copies,
        "ef too small": single.few_candidates,
        "4 bits": single.coarse("HNSW16,SQ4"),
        "product codes": single.coarse("HNSW16_PQ32x8"),
        "1 bit": single.coarse("HNSW16,RaBitQ"),
        "dimensions cut": single.cut_off,
        "rows missing": single.missing,
        "rows stale": single.stale,
        "rows re-ordered": single.reordered,
        "rows added twice": single.added_twice,
        "not normalised": single.not_normalised,
        "inner product for cosine": single.wrong_metric(faiss.METRIC_INNER_PRODUCT),
        "L2 for cosine": single.wrong_metric(faiss.METRIC_L2),
        "nodes out of reach": single.out_of_reach,
        "too few re-ranked": single.too_little_reranked,
        "too few lists": single.few_lists,
        "dead dimensions": single.dead_dimensions,
        "queries drifted": single.drifted,
        "4 bits, ef too small": double.coarse_and_few_candidates,
        "rows missing, ef too small": double.missing_and_few_candidates,
        "rows stale, 4 bits": double.stale_and_coarse,
        "dimensions cut, rows missing": double.cut_and_missing,
        "rows re-ordered, ef too small": double.reordered_and_few_candidates,
        "product codes, too few lists": double.few_lists_of_coarse_codes,
        "nodes out of reach, 4 bits": double.out_of_reach_and_coarse,
    }
