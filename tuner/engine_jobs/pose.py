"""The questions of an exported configuration for its engine, and where its index is to be."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

from tuner.data.vectors import Vectors
from tuner.engines import Capabilities, Deployment, Engine, require_installed
from tuner.errors import InputError
from tuner.runtime.journal import Journal
from tuner.runtime.machine import available_cores
from tuner.space import default_space
from tuner.sweep.pose import PosedProblem, pose
from tuner.types import Event, Exported, Options


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """What the user asked for.

    Attributes:
        address: DSN or URL of the user's own server; None starts one.
        name: name of the table, collection or index.
        replace: whether one of that name may be dropped.
        recall: target instead of the file's.
        threads: threads that build; 0 means all cores.
    """

    address: str | None = field(default=None, repr=False)
    name: str = "tune_items"
    replace: bool = False
    recall: float | None = None
    threads: int = 0


def pose_for_engine(
    engine: Engine,
    exported: Exported,
    base: Vectors,
    queries: Vectors | None,
    options: VerifyOptions,
    work: Path,
) -> Generator[Event, None, tuple[PosedProblem, Deployment]]:
    """Yield events; return the questions for an engine, and where its index is to be.

    Raises:
        InputError: the data do not fit the file, or the engine is not installed.
    """
    config, can = exported.settings, engine.capabilities
    if base.d != config.d:
        raise InputError(f"{base.source} has {base.d} columns, and the configuration is for {config.d}")
    _check_address(can, options)
    if engine.open is None:
        raise InputError(f"{can.title} does not run on a development machine: nothing was verified")
    if config.n_shards > 1:
        raise InputError(
            f"the configuration is of {config.n_shards} shards whose answers are merged, and {can.title} "
            "runs here as one index: nothing was verified; export a run without --shards to verify one index"
        )
    require_installed(engine, options.address)
    problem_options = _options_of(exported, queries, options)
    posed = yield from pose(Journal(work, {}, resume=False), base, queries, problem_options, work)
    folder = work / "engine"
    folder.mkdir()
    deployment = Deployment(
        folder=folder,
        name=options.name,
        address=options.address,
        replace=options.replace,
        threads=options.threads or available_cores(),
        n=posed.n,
    )
    return posed, deployment


def _check_address(can: Capabilities, options: VerifyOptions) -> None:
    if options.address is not None and not can.takes_address:
        raise InputError(f"{can.title} takes no server address: leave --dsn and --url out")


def _options_of(exported: Exported, queries: Vectors | None, options: VerifyOptions) -> Options:
    config, claims = exported.settings, exported.claims
    held_out = claims.n_held_out if queries is None and claims.n_held_out else None
    return Options(
        recall=claims.target if options.recall is None else options.recall,
        k=config.k,
        metric=config.metric,
        confidence=claims.confidence,
        seed=claims.seed,
        threads=options.threads,
        n_queries=held_out,
        duplicates="collapse" if claims.n_copies else "keep",
        space=default_space(),
    )
