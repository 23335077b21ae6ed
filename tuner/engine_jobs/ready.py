"""An engine found to be there, to start, and to take such vectors: what can be said before the sweep."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tuner.data.profile import scan
from tuner.data.vectors import Vectors
from tuner.engines import Deployment, Engine, EngineCodec, EngineProcess, require_installed
from tuner.engines.translate import check_lengths, fitting_codecs, space_for
from tuner.errors import InputError
from tuner.runtime.steps import result_of
from tuner.types import EngineConfig, Options


@dataclass(frozen=True)
class Ready:
    """What an engine is asked, after it was found to be there and to take such vectors.

    Attributes:
        options: what the user asked for, the metric decided.
        narrowed: options of the sweep: what the engine can express.
        codecs: codecs of the engine that are tried.
    """

    options: Options
    narrowed: Options
    codecs: tuple[EngineCodec, ...]


def ready_for(engine: Engine, base: Vectors, options: Options, work: Path) -> Ready:
    """Return what the engine is asked; start it and stop it again.

    Raises:
        InputError: the engine cannot hold or compare such vectors, or is not installed.
    """
    can = engine.capabilities
    if options.duplicates == "collapse":
        raise InputError(
            f"duplicates is collapse, and {can.title} knows no list of copies: tune for it with the distinct "
            "rows alone, or without collapsing them"
        )
    if engine.open is not None:
        require_installed(engine)
    if options.metric == "auto" or options.metric in can.unit_length:
        profile = result_of(scan(base, options.metric, seed=options.seed))
        check_lengths(can, profile.metric, profile.norm_min, profile.norm_max)
        options = replace(options, metric=profile.metric)
    narrowed = _narrowed(engine, base, options)
    codecs = tuple(
        codec
        for codec in fitting_codecs(engine, base.d, narrowed.metric if narrowed.metric != "auto" else None)
        if codec.nearest in narrowed.space.codecs
    )
    if engine.open is not None:
        _try_starting(engine, codecs[0], base, narrowed, work)
    return Ready(options, narrowed, codecs)


def _narrowed(engine: Engine, base: Vectors, options: Options) -> Options:
    can = engine.capabilities
    metric = None if options.metric == "auto" else options.metric
    space = space_for(engine, options.space, base.d, options.k, metric)
    plain = fitting_codecs(engine, base.d, metric)[0].nearest
    runs = engine.open is not None
    re_ranks = max(space.rerank_factors) > 1
    return replace(
        options,
        space=space,
        # where the engine runs, its codecs are measured in it: the sweep is for M alone
        native=(plain,) if runs and plain in space.codecs else space.codecs,
        # and what else its index could do is not asked
        other_ks=options.other_ks or ((options.k,) if runs else ()),
        other_recalls=options.other_recalls or ((options.recall,) if runs else ()),
        # limits are on what the engine takes, not on faiss's float32
        max_memory_bytes=None if runs else options.max_memory_bytes,
        max_memory_per_vector=None if runs else options.max_memory_per_vector,
        max_latency_s=None if runs else options.max_latency_s,
        # engines keep the exact vectors beside the index, not in it; faiss's own refinement does not
        rerank_store="disk" if re_ranks and can.runs != "library" else "memory",
    )


def _try_starting(engine: Engine, codec: EngineCodec, base: Vectors, options: Options, work: Path) -> None:
    """Start the engine and stop it again, so that what is wrong with it is said before the sweep."""
    can = engine.capabilities
    config = EngineConfig(
        engine=can.name,
        codec=codec.name,
        d=base.d,
        metric=can.metrics[0] if options.metric == "auto" else options.metric,
        k=options.k,
        M=options.space.M[0],
        ef_construction=options.space.ef_construction,
        ef_search=max(options.k, can.ef_search[0]),
    )
    folder = work / "engine-first"
    folder.mkdir(parents=True)
    EngineProcess(config, Deployment(folder=folder, n=1)).close()
