"""The one build: codes that stand for exact distances, the graph on them, the curves of every derived M."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tuner.data.base import Base
from tuner.index.assemble import Encoded
from tuner.index.byte_codes import ByteEncoder, DistinctBytes, Scale, scale_of
from tuner.index.codecs import quantizer
from tuner.index.encoders import Encoder, from_bytes, train
from tuner.index.graph import DerivableGraph, build
from tuner.index.projections import Projection
from tuner.prediction.ceilings import Pool, encode_rows, measure_ceiling
from tuner.prediction.curves import measure_curves
from tuner.runtime.timing import thinned
from tuner.sweep.problem import Problem
from tuner.types import CurvePoint, Steps

PROXY_CODECS = ("SQ8", "fp16")
"""Codecs that may stand for exact distances, cheapest first."""
LEAST_CEILING = 0.97
"""Measured: graphs built on codes of this ceiling are as good as those built on float32, and their curves
over the ceiling are those of exact distances."""
SHALLOW = 20
TRAIN_SAMPLE = 4_000
CURVE_QUERIES, FEWEST_CURVE_QUERIES = 400, 160


@dataclass(frozen=True)
class ProxyCodec:
    """A codec that stands for exact distances.

    Attributes:
        ceiling: its recall in an exhaustive scan.
        trained: the serialized encoder.
        scale: scale of the bytes that the graph is built on, or None where bytes lose too much.
    """

    codec: str
    ceiling: float
    trained: bytes
    scale: Scale | None = None


class ProxyCodes:
    """The proxy with its codes of the whole base, encoded when they are first asked for."""

    def __init__(self, base: Base, proxy: ProxyCodec) -> None:
        self.base = base
        self.ceiling = proxy.ceiling
        self.encoder: Encoder = from_bytes(
            quantizer(proxy.codec, base.d), Projection("none", base.d), proxy.trained
        )
        scale = proxy.scale
        self.builder: Encoder = self.encoder if scale is None else DistinctBytes(scale, base.d)

    @cached_property
    def encoded(self) -> Encoded:
        """Codes of every row; for float32 the base itself."""
        if self.encoder.codec.name == "fp32":
            return Encoded(self.encoder, self.base.x.view(np.uint8))
        codes = encode_rows(self.base, self.encoder)
        self.base.release()
        return Encoded(self.encoder, codes)


@dataclass(frozen=True)
class Curves:
    """What the derived graphs do.

    Attributes:
        aim: mean recall that a point needs to be certified, judged by the spread seen near it.
    """

    points: tuple[CurvePoint, ...]
    aim: float


def choose_proxy(problem: Problem, pool: Pool, codecs: tuple[str, ...] = PROXY_CODECS) -> Steps[ProxyCodec]:
    """Return the cheapest codec whose ceiling is high enough, or float32; bytes to build on beside it."""
    base = problem.base
    sample = base.sample(TRAIN_SAMPLE, problem.options.seed)
    shallow = pool.shallow(SHALLOW * pool.k)

    def ceiling_of(encoder: Encoder) -> float:
        codes = encode_rows(base, encoder, shallow.rows)
        return measure_ceiling(shallow, encoder, codes, {}, (1,), 0.0).recall_at[1]

    for name in codecs:
        encoder = train(quantizer(name, base.d), Projection("none", base.d), None, base.metric, sample, 0)
        if (ceiling := ceiling_of(encoder)) >= LEAST_CEILING:
            scale = scale_of(sample)
            enough = ceiling_of(ByteEncoder(scale, base.d)) >= LEAST_CEILING
            return ProxyCodec(name, ceiling, encoder.to_bytes(), scale if enough else None)
    yield 1.0
    fp32 = train(quantizer("fp32", base.d), Projection("none", base.d), None, base.metric, sample[:1], 0)
    return ProxyCodec("fp32", 1.0, fp32.to_bytes())


def build_graph(problem: Problem, proxy: ProxyCodes) -> Steps[DerivableGraph]:
    """Yield the share done; return the graph of the space's largest M."""
    space, seed = problem.options.space, problem.options.seed
    return (
        yield from build(
            problem.base, proxy.builder, space.most_links, space.ef_construction, seed, problem.links_path
        )
    )


def trace_curves(problem: Problem, graph: DerivableGraph, proxy: ProxyCodes) -> Steps[Curves]:
    """Yield the share done; return the curves, and the aim that the spread over queries asks for."""
    options, base = problem.options, problem.base
    few = problem.sample(thinned(CURVE_QUERIES, base.d, FEWEST_CURVE_QUERIES))
    points, hits = yield from measure_curves(
        base,
        graph,
        problem.links_path,
        proxy.encoded,
        ceiling=proxy.ceiling,
        Ms=options.space.M,
        queries=problem.queries[few],
        truth=problem.truth.part(few),
        target=problem.aim,
        ef_max=options.space.ef_search_max,
    )
    base.release()
    return Curves(points, problem.aim_of(hits))
