"""Every measured point as one flat row."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tuner.report.words import names_of, recommended_point
from tuner.types import Result


def point_rows(result: Result) -> list[dict[str, Any]]:
    """A row a point: configuration, recall, bytes, distances and times under the names of the report."""
    chosen = recommended_point(result)
    rows = []
    for position, point in enumerate(result.points):
        late = point.latency
        rows.append(
            {
                "label": point.configuration.label,
                **asdict(point.configuration),
                "ef_search": point.ef_search,
                "recall": point.recall.mean,
                "recall_lower": point.recall.lower,
                "recall_p5": point.recall.p5,
                "predicted_recall": point.predicted_recall,
                "memory_bytes": point.memory.resident_bytes,
                "memory_per_vector_bytes": point.memory.resident_bytes / result.profile.n_indexed,
                **asdict(point.memory),
                "ndis_per_query": point.ndis_per_query,
                "modelled_latency_s": point.modelled_latency_s,
                "latency_mean_s": None if late is None else late.mean_s,
                "latency_p50_s": None if late is None else late.p50_s,
                "latency_p95_s": None if late is None else late.p95_s,
                "latency_p99_s": None if late is None else late.p99_s,
                "queries_per_second": None if late is None else late.queries_per_second,
                "reaches_target": point.reaches_target,
                "on_front": position in result.front,
                "named": ", ".join(names_of(result, position)),
                "recommended": position == chosen,
            }
        )
    return rows
