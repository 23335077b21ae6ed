"""The contract between the tuner and a vector engine. An engine is one file with one ``ENGINE``.

What an engine file promises:

- ``ENGINE.capabilities`` is data: what the engine can express, its bounds, its silent fallbacks. Nothing in
  the file imports the engine's packages until ``check`` or ``open`` is called.
- ``ENGINE.body(config)`` renders the whole configuration in the engine's own language: a dict that becomes
  JSON, or text of SQL or Python. It is a pure function of ``config``, complete (ef and oversampling always
  as numbers, never left to a default), and the same strings are what ``open`` sends to the engine.
- ``ENGINE.check(config)`` asks the vendor's own client or schema, offline, and raises ``InputError`` for
  what it refuses. Bounds in ``capabilities`` are checked before, for every engine alike: vendors' models let
  ``m = -5`` pass.
- ``ENGINE.open(config, deployment)`` starts or joins the engine and returns a ``Running`` index, still empty.
  None for engines that cannot run on a development machine.

What a ``Running`` promises: vectors as the user has them come in blocks through ``add`` with ids 0..n-1, then
``build`` once; ``search`` answers one query at a time as the engine's users do it; ``applied`` reads back
what *the engine* says it did and never repeats what it was asked to do; a fact that the engine does not tell
is None and no part of ``Capabilities.reports``. ``index_bytes`` is a reading too. ``close`` removes
everything that was made, also after a failure half-way and when called twice. It runs in a process of its own
(``tuner.engines.process``), with one CPU thread for searching. Servers listen on loopback or a unix socket
only. An engine whose filtered search is built is ``Filtering`` too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tuner.engines.filtering import FilterMeans
from tuner.types import EngineConfig, FloatArray, IdArray, Metric, ReportedConfig

Fact: TypeAlias = Literal["n_indexed", "codec", "metric", "M", "ef_construction", "ef_search", "index_used"]
"""A field of ``ReportedConfig`` that an engine may tell or not."""
Language: TypeAlias = Literal["json", "sql", "python", "java", "vespa"]
ALL_METRICS: tuple[Metric, ...] = ("cosine", "ip", "l2")
NO_LIMIT = 1_000_000
OF_GRAPH: tuple[Fact, ...] = ("n_indexed", "codec", "metric", "M", "ef_construction")
"""Facts of the graph and its codes, which most engines tell."""


@dataclass(frozen=True, kw_only=True)
class EngineCodec:
    """One way in which an engine stores vectors in its index.

    Attributes:
        name: the engine's own name.
        nearest: faiss's codec that predicts it best, in ``tuner.space``'s spelling; what the sweep models it
            by.
        bits: bits stored per dimension.
        oversampling: whether the engine fetches more candidates and re-scores them on exact vectors.
        metrics: supported metrics.
        multiple_of: divisor that d must have.
        least_d, most_d: bounds of d with this codec.
        since: first version that has it, empty if all have that configurations are written for.
        note: how it differs from ``nearest``, or what must be known.
    """

    name: str
    nearest: str
    bits: float
    oversampling: bool = False
    metrics: tuple[Metric, ...] = ALL_METRICS
    multiple_of: int = 1
    least_d: int = 1
    most_d: int = 65_535
    since: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What the engine takes when the user says nothing: the index that most of its users have."""

    codec: str
    M: int
    ef_construction: int
    ef_search: int
    oversampling: int = 1


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What an engine can express, as data.

    Attributes:
        name: name on the command line, and of the extra that brings it.
        title: name for people.
        language: language of an exported file.
        codecs: codecs of the index, the first of which keeps float32.
        defaults: index that most users have.
        metrics: supported metrics.
        unit_length: metrics under which all vectors must be of length 1.
        M, ef_construction, ef_search, oversampling: smallest and largest value, inclusive.
        ef_construction_per_M: least ratio of ``ef_construction`` to M.
        most_candidates: limit on ``k * oversampling``, or None.
        ef_covers_candidates: whether ``ef_search`` must be at least ``k * oversampling``.
        starved_ef: smallest ef_search that a search for one neighbour may have.
        packages: requirement strings that ``pip install`` needs, to run it or else to validate with.
        modules: import names that show that they are there, one for each package.
        server_modules: those of ``modules`` that only a server of our own needs.
        runs: how it runs on a development machine.
        tested: what was really run or read, with versions.
        counts_oversampling: what the engine's number means.
        most_shards: most shards that a collection can be divided into and still answers as one; 1 if nothing
            in its configuration divides it.
        counts_shards: where their number stands, and what counts a shard.
        fallbacks: where it silently does something else.
        reports: facts that ``applied`` reads back; the others are None.
        bytes_are: what ``index_bytes`` reads.
        licence: licence of what ``packages`` install, where it is not a permissive one.
        versions: first and last version of each line that configurations are written for, ascending; none
            if versions are not told apart, so that ``EngineConfig.variant`` means nothing.
        version_names: other names of versions, each with the version: that of a line for its last one.
        takes_address: option that names the user's own server, empty if there is none.
        filters: how it searches with a filter; None where that was not looked at, and nothing is exported.
    """

    name: str
    title: str
    language: Language
    codecs: tuple[EngineCodec, ...]
    defaults: Defaults
    tested: str
    runs: Literal["library", "embedded", "server", "no"]
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    server_modules: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ALL_METRICS
    unit_length: tuple[Metric, ...] = ()
    M: tuple[int, int] = (2, 128)
    ef_construction: tuple[int, int] = (4, NO_LIMIT)
    ef_construction_per_M: float = 0.0
    ef_search: tuple[int, int] = (1, NO_LIMIT)
    oversampling: tuple[int, int] = (1, 100)
    most_candidates: int | None = None
    ef_covers_candidates: bool = False
    starved_ef: int = 1
    most_dims: int = 65_535
    counts_oversampling: str = "it has none"
    most_shards: int = 1
    counts_shards: str = "its configuration has no number of them: the settings of each are exported"
    fallbacks: tuple[str, ...] = ()
    reports: tuple[Fact, ...] = ()
    bytes_are: str = ""
    licence: str = ""
    takes_address: Literal["", "dsn", "url"] = ""
    versions: tuple[tuple[str, str], ...] = ()
    version_names: tuple[tuple[str, str], ...] = ()
    filters: FilterMeans | None = None

    def codec(self, name: str) -> EngineCodec | None:
        """Return the codec of that name, or None."""
        return next((codec for codec in self.codecs if codec.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a batch of searches gave.

    Attributes:
        ids: (nq, k) int64, -1 where fewer were returned.
        seconds: (nq,) float64 of each search, the client's call included.
    """

    ids: IdArray
    seconds: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Where an index is made.

    Attributes:
        folder: an empty folder for the engine's files, removed by the caller afterwards.
        address: DSN or URL of the user's own server, or None to start one.
        name: name of the table, collection or index.
        replace: whether one of that name may be dropped.
        threads: threads that build.
        n: number of vectors that will come.
        tagged: whether rows will come with tags, and queries with one that their answers must have.
    """

    folder: Path
    name: str = "tune_items"
    address: str | None = field(default=None, repr=False)
    replace: bool = False
    threads: int = 1
    n: int = 0
    tagged: bool = False


@runtime_checkable
class Running(Protocol):
    """One index in a running engine; see the module for what it promises."""

    def add(self, first: int, x: FloatArray) -> None:
        """Load rows (m, d) float32 as the user has them, with ids ``first``, ``first + 1`` and so on."""

    def build(self) -> None:
        """Make the index, and return when the engine says that it is complete."""

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Search with these from now on."""

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Return up to k ids for one query (d,), nearest first."""
        raise NotImplementedError

    def applied(self) -> ReportedConfig:
        """Return what the engine says it did."""
        raise NotImplementedError

    def index_bytes(self) -> int:
        """Return the bytes of the index as ``Capabilities.bytes_are`` says."""
        raise NotImplementedError

    def close(self) -> None:
        """Remove what was made, stop what was started. May be called twice, and after a failure."""


@runtime_checkable
class ReScoring(Protocol):
    """A ``Running`` index that re-scores from vectors which are no part of its ``index_bytes``."""

    def table_bytes(self) -> int:
        """Return the engine's reading of the bytes of those vectors."""
        raise NotImplementedError


def no_check(config: EngineConfig) -> None:
    """Accept: the bounds of ``Capabilities`` are all there is to check."""


def reap_nothing() -> None:
    """Do nothing: all that the engine starts ends with its process, or is in that one's group."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine file's one public object.

    Attributes:
        reap_orphans: Function that ends what killed runs of this user left behind.
    """

    capabilities: Capabilities
    body: Callable[[EngineConfig], dict[str, Any] | str]
    check: Callable[[EngineConfig], None] = no_check
    open: Callable[[EngineConfig, Deployment], Running] | None = None
    reap_orphans: Callable[[], None] = reap_nothing

    @property
    def name(self) -> str:
        """Return the name on the command line."""
        return self.capabilities.name
