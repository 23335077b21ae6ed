"""What the clock shows over what was modelled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tuner.index.codec_view import CodecView
from tuner.types import OperatingPoint


def with_shown_costs(points: list[OperatingPoint]) -> list[OperatingPoint]:
    """Return timed points with modelled latencies at the one cost that the clock shows for each codec."""
    of_codec: dict[tuple[CodecView, str | None], list[OperatingPoint]] = {}
    for point in points:
        of_codec.setdefault(_cost_key(point), []).append(point)
    factors = {
        key: typical_ratio([p.seconds for p in mine], [p.modelled_latency_s for p in mine])
        for key, mine in of_codec.items()
    }
    return [replace(p, modelled_latency_s=p.modelled_latency_s * factors[_cost_key(p)]) for p in points]


def typical_ratio(measured_s: list[float], modelled_s: list[float]) -> float:
    """Return the geometric mean of the ratios."""
    return float(np.exp(np.mean(np.log(measured_s) - np.log(modelled_s))))


def _cost_key(point: OperatingPoint) -> tuple[CodecView, str | None]:
    return CodecView.of(point.configuration), point.configuration.rerank
