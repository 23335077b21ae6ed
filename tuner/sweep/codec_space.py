"""Which codecs may be tried: the space without what cannot pay, and the order in which it is judged."""

from __future__ import annotations

from dataclasses import replace

from tuner.index.codec_view import CodecView
from tuner.index.codecs import Quantizer, quantizer
from tuner.index.projections import Projection
from tuner.types import Options, Space

MOST_LINKS = 1.0
"""Links on level 0 take at most this many times the bytes of the float32 vectors."""
FAMILIES = ("fp32", "SQ", "RaBitQ", "tqmse", "PQ", "OPQ", "bf16", "fp16")


def sensible(space: Space, d: int) -> Space:
    """Return the space without the M whose links would take far more bytes than the vectors in float32.

    >>> sensible(Space(M=(6, 8, 48), codecs=("SQ8",)), d=16).M
    (6, 8)
    """
    kept = tuple(M for M in space.M if MOST_LINKS * 4 * d >= 8 * M)
    return replace(space, M=kept or (min(space.M),))


def projections_of(options: Options, d: int) -> list[Projection]:
    """Return the space's projections at ``d`` dimensions, whole first, cuts rounded to multiples of 8."""
    projections = [Projection("none", d)] if 1.0 in options.space.cuts else []
    for share in sorted({share for share in options.space.cuts if share < 1.0}, reverse=True):
        dims = round(share * d / 8) * 8
        for kind in options.space.cut_kinds:
            projection = Projection(kind, dims)
            if 8 <= dims < d and projection not in projections:
                projections.append(projection)
    return projections


def codecs_at(options: Options, projection: Projection) -> list[Quantizer]:
    """Return the space's codecs at a projection; product codecs see all dimensions only."""
    found = dict.fromkeys(quantizer(name, projection.dims) for name in options.space.codecs)
    return [codec for codec in found if projection.cut == "none" or codec.kind not in ("pq", "opq")]


def family(codec: str) -> str:
    """Return the family of a codec, whose finer members bound the coarser ones.

    >>> family("SQ8"), family("OPQ16x8")
    ('SQ', 'OPQ')
    """
    return next(family for family in FAMILIES if codec.startswith(family))


def views_in_order(options: Options, d: int) -> list[CodecView]:
    """Return what to judge: whole projections first, and finer codecs before coarser ones, which they bound.

    Float32 comes first on every projection: it says which of two cuts is worth anything.
    """
    found = [
        CodecView(codec.name, projection.dims, projection.cut)
        for projection in projections_of(options, d)
        for codec in sorted(
            codecs_at(options, projection), key=lambda c: (FAMILIES.index(family(c.name)), -c.code_bytes)
        )
    ]
    return sorted(found, key=lambda view: (view.cut != "none", view.codec != "fp32"))
