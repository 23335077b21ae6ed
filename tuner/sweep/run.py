"""The sweep, stage by stage: the table of contents of the main job.

Every stage is kept in the journal when it is finished; a run that was killed goes on after the last
one. Events tell what happens; nothing is printed here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from pathlib import Path

from tuner.data.vectors import Vectors
from tuner.recall.allowed import GivenFilters
from tuner.runtime.journal import JOURNAL
from tuner.sweep.answer import Answer, answer
from tuner.sweep.deliver import deliver
from tuner.sweep.exact import exact_result
from tuner.sweep.few_rows import is_exact_the_answer
from tuner.sweep.filters.run import policy_as_delivered, under_filters
from tuner.sweep.index_file import remove_index
from tuner.sweep.measure import measure
from tuner.sweep.model import Model, model
from tuner.sweep.pose import ADDED_LINKS, LINKS, PART_LINKS, PREPARED, WHOLE, WHOLE_POOL
from tuner.sweep.prepare import Prepared, prepare
from tuner.sweep.result import sweep_result
from tuner.sweep.stage_options import StageOptions
from tuner.types import Event, Finished, Options, Result

SCRATCH = (PREPARED, WHOLE, WHOLE_POOL, LINKS, ADDED_LINKS, PART_LINKS)
STAGES = StageOptions()
"""The stages as users have them."""


def accept_any(modelled: Model, found: Answer) -> Iterable[Event]:
    """Return no event: any answer is handed over."""
    return ()


def sweep(
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    out: Path,
    work: Path,
    *,
    resume: bool = False,
    stages: StageOptions = STAGES,
    accept: Callable[[Model, Answer], Iterable[Event]] = accept_any,
    filters: GivenFilters | None = None,
) -> Generator[Event, None, Result]:
    """Yield events; return the result. Writes ``index.faiss`` to ``out`` and scratch to ``work``.

    Args:
        base: vectors to index.
        queries: the user's queries, or None to hold some of the base out.
        options: what the user asked for.
        out: folder of the delivered index; it exists.
        work: scratch folder; emptied at the start unless resuming, removed at the end.
        resume: go on from what an earlier run left in ``work``.
        stages: what the stages are made of; benchmarks switch ideas off with it.
        accept: events to yield of an answer before its index is written; what it raises ends the run.
        filters: filters of the queries, None without any.

    Raises:
        InputError: base, queries and options do not fit.
        ResourceError: too little memory, disk or time.
    """
    prepared = yield from prepare(base, queries, options, work, resume=resume, filters=filters)
    options, indexed = prepared.problem.options, prepared.problem.base
    if is_exact_the_answer(options, indexed.n, indexed.n_delivered, base.d):
        result = yield from exact_result(prepared, out)
    else:
        result = yield from _swept(prepared, out, stages, accept)
    return (yield from _ended(result, out))


def _swept(
    prepared: Prepared,
    out: Path,
    stages: StageOptions,
    accept: Callable[[Model, Answer], Iterable[Event]],
) -> Generator[Event, None, Result]:
    """Yield events; return the result of a sweep that builds and measures."""
    modelled = yield from model(prepared, stages)
    measured = yield from measure(prepared, modelled, stages)
    found = answer(measured)
    yield from accept(modelled, found)
    found, policy = yield from under_filters(prepared, measured, found)
    delivered = yield from deliver(prepared, modelled, measured, found, out)
    if policy is not None and delivered.answer.found:
        prefer = prepared.problem.options.prefer
        before, after = (each.points[each.named[prefer]] for each in (found, delivered.answer))
        policy = policy_as_delivered(policy, before, after)
    return sweep_result(prepared, modelled, measured, delivered, policy)


def _ended(result: Result, out: Path) -> Generator[Event, None, Result]:
    """Yield that the run has ended; return its result, no index left of an earlier one that it has not."""
    if result.status == "not_reached":
        remove_index(out)
    yield Finished(result)
    return result


def finish(work: Path) -> None:
    """Remove the scratch files of a finished run, and their folder if nothing else is in it."""
    for pattern in ("*.stage", "*.partial", JOURNAL, *SCRATCH):
        for path in work.glob(pattern):
            path.unlink()
    with suppress(OSError):  # someone else's files are in it
        work.rmdir()
