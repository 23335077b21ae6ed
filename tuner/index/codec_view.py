"""The key of everything that is known of a codec: its name, and the dimensions that it sees."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tuner.index.codecs import Cut, Quantizer, quantizer
from tuner.index.projections import Projection
from tuner.types import Ceiling, Configuration


@dataclass(frozen=True)
class CodecView:
    """A codec on the dimensions that it sees: what has codes, a cost and a ceiling of its own.

    Attributes:
        codec: name in faiss's spelling, with m resolved.
        dims: dimensions that the codec sees before padding.
        cut: how these dimensions are chosen.

    >>> str(CodecView("SQ8", 192, "pca"))
    'SQ8@pca192'
    """

    codec: str
    dims: int
    cut: Cut = "none"

    @classmethod
    def of(cls, what: Configuration | Ceiling) -> CodecView:
        """Return the view that a configuration searches, or that a ceiling was measured on."""
        return cls(what.codec, what.dims, what.cut)

    def __str__(self) -> str:
        """Return the name in stages of the journal and in titles."""
        return f"{self.codec}@{self.cut}{self.dims}"

    @property
    def quantizer(self) -> Quantizer:
        """The codec at its dimensions."""
        return quantizer(self.codec, self.dims)

    @property
    def projection(self) -> Projection:
        """The dimensions alone."""
        return Projection(self.cut, self.dims)

    @property
    def unrotated(self) -> CodecView:
        """The view whose distances cost the same: a rotation costs a query, not a distance."""
        return replace(self, codec=self.codec.removeprefix("O"))

    def whole(self, d: int) -> CodecView:
        """Return the same codec on all ``d`` dimensions."""
        return CodecView(self.codec, d)
