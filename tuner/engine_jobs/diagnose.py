"""An engine's own index diagnosed: the exported configuration built there, its loss split, what mends it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

from tuner.data.vectors import Vectors
from tuner.engine_jobs.pose import VerifyOptions, pose_for_engine
from tuner.engine_jobs.under_test import EngineUnderTest
from tuner.engine_jobs.use import applied_line
from tuner.engines import Engine
from tuner.runtime.machine import describe_machine, now
from tuner.types import EngineDiagnosis, Event, Exported, Note


def diagnose_engine(
    engine: Engine,
    exported: Exported,
    base: Vectors,
    queries: Vectors | None,
    options: VerifyOptions,
    work: Path,
) -> Generator[Event, None, EngineDiagnosis]:
    """Yield events; return where the engine loses recall. Scratch files go to ``work``.

    Raises:
        InputError: the data do not fit the file, the engine is not installed or cannot be reached.
        EngineDiedError: it died.
    """
    config, can = exported.settings, engine.capabilities
    posed, deployment = yield from pose_for_engine(engine, exported, base, queries, options, work)
    problem = posed.problem
    yield Note(f"{can.title}: {config.label}")
    with ExitStack() as open_ones:
        under_test = EngineUnderTest(engine, posed, config, deployment, open_ones)
        yield from under_test.load()
        recall, causes = yield from under_test.split()
        reported = under_test.process.applied()
        healthy = problem.certified(recall)
        prescriptions = () if healthy else (yield from under_test.prescriptions())
        notes = [] if (line := applied_line(config, reported)).status == "pass" else [line.text]
        if reported.index_used is False:
            notes.append("the engine's plan of the search does not name the index: it searches exactly")
        return EngineDiagnosis(
            engine=can.name,
            settings=config,
            version=reported.version,
            target=problem.options.recall,
            n_queries=len(problem.raw),
            recall=recall,
            healthy=healthy,
            first=None if healthy else causes[0],
            causes=causes,
            index_bytes=under_test.process.index_bytes(),
            prescriptions=prescriptions,
            notes=tuple(notes),
            machine=describe_machine(),
            created=now(),
        )
