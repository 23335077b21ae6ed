"""``recommended.yaml``: the answer as a small config; how it was measured and is loaded as comments."""

import textwrap
from typing import Any

import yaml

from tuner.report.faiss_lines import construct_lines, search_lines, where_it_lies
from tuner.report.filters import filters_sentence, filters_settings
from tuner.report.sharded import sharded_sentence
from tuner.report.words import (
    asked_for,
    collapsed_sentence,
    data_sentence,
    gain_sentence,
    recommended_point,
    sample_sentence,
    verdict,
)
from tuner.text import one_lined
from tuner.types import Recommendation, Result

COMMENT_WIDTH = 98
SIGNIFICANT_DIGITS = 6


def recommended_yaml(result: Result) -> str | None:
    """The recommendation as commented YAML; None when the run has none."""
    search, result = search_lines(result), one_lined(result)  # code names the file to the letter
    if result.status == "exact":
        return _document(result, _exact_settings(result), search, ())
    if result.status == "not_reached" or result.recommendation is None:
        return None
    position = recommended_point(result)
    construct: tuple[str, ...] = ()
    if position is not None:
        construct = construct_lines(result.points[position], result.profile.d, result.profile.metric)
    return _document(result, _settings(result, result.recommendation), search, construct)


def _settings(result: Result, answer: Recommendation) -> dict[str, Any]:
    of_all = result.extrapolation
    return {
        "index": {
            "kind": "hnsw",
            "metric": result.profile.metric,
            "d": result.profile.d,
            "M": answer.M,
            "ef_construction": answer.ef_construction,
            "ef_search": answer.ef_search if of_all is None else of_all.ef_search,
            "codec": answer.codec,
            "dims": answer.dims,
            "cut": answer.cut,
            "rerank": answer.rerank,
            "rerank_factor": answer.rerank_factor,
            "rerank_at": answer.rerank_at,
        },
        **_of_all(result),
        **_shards(result),
        **filters_settings(result),
        "measured": {
            "k": result.options.k,
            "recall": _cut(answer.recall),
            "recall_lower": _cut(answer.recall_lower),
            "confidence": result.options.confidence,
            "memory_bytes": answer.memory_bytes,
            "disk_bytes": answer.disk_bytes,
            "latency_p50_s": _cut(answer.latency_p50_s),
            "latency_p95_s": _cut(answer.latency_p95_s),
            "ndis_per_query": _cut(answer.ndis_per_query),
        },
        **_ef_table(result),
        "data": _data(result),
    }


def _of_all(result: Result) -> dict[str, Any]:
    """What is expected of all rows where a sample was measured, empty where all were."""
    of_all = result.extrapolation
    if of_all is None:
        return {}
    return {
        "extrapolated": {
            "n": of_all.n,
            "n_sample": of_all.n_sample,
            "ef_search": [of_all.ef_search_low, of_all.ef_search_high],
            "ndis_per_query": [_cut(of_all.ndis_per_query_low), _cut(of_all.ndis_per_query_high)],
            "memory_bytes": of_all.memory_bytes,
        }
    }


def _shards(result: Result) -> dict[str, Any]:
    """What each shard holds, empty where the index is one."""
    found = result.sharded
    if found is None:
        return {}
    return {
        "shards": {
            "n_shards": found.n_shards,
            "k_per_shard": found.k_per_shard,
            "most_rows": max(found.rows),
            "most_memory_bytes": max(found.memory_bytes),
        }
    }


def _ef_table(result: Result) -> dict[str, Any]:
    """The least certified ef_search by target and k, empty where none was looked for."""
    found: dict[float, dict[int, int]] = {}
    for cell in result.ef_table:
        found.setdefault(cell.target, {})[cell.k] = cell.ef_search
    return {"ef_search_by_recall_and_k": found} if found else {}


def _exact_settings(result: Result) -> dict[str, Any]:
    return {
        "index": {"kind": "exact", "metric": result.profile.metric, "d": result.profile.d},
        "data": _data(result),
    }


def _data(result: Result) -> dict[str, Any]:
    data = {"fingerprint": result.profile.fingerprint, "n": result.profile.n, "seed": result.options.seed}
    if result.collapsed is None:
        return data
    return {**data, "duplicates": "collapse", "n_distinct": result.collapsed.n_distinct}


def _document(
    result: Result, settings: dict[str, Any], search: tuple[str, ...], construct: tuple[str, ...]
) -> str:
    head = [
        f"Made by tune {result.versions.get('tuner', '')} {result.created}".rstrip()
        + f" from {result.profile.source}.",
        verdict(result),
        f"Asked: {asked_for(result.options)}.",
        f"Measured on {data_sentence(result)}",
        sample_sentence(result),
        sharded_sentence(result),
        filters_sentence(result),
        gain_sentence(result),
    ]
    lines = [f"# {line}" for text in head if text for line in textwrap.wrap(text, COMMENT_WIDTH)]
    if result.extrapolation is None:
        lines += [
            "#",
            f"# Load and search; {where_it_lies(result)} this file:",
            *(f"#   {line}" for line in search),
            *(f"# {line}" for line in textwrap.wrap(collapsed_sentence(result), COMMENT_WIDTH)),
        ]
    lines += ["", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=COMMENT_WIDTH).rstrip()]
    if construct:
        lines += [
            "",
            "# The same kind of index, empty, by faiss's own classes. Its links will be chosen by faiss",
            "# while adding; those of the index delivered were derived from one larger graph and measured.",
            "faiss: |",
            *(f"  {line}" for line in construct),
        ]
    return "\n".join(lines) + "\n"


def _cut(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
