"""Ours: ``tune`` as it is, with one of its ideas switched off, or exhaustive (the oracle)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.sweep.answers import INDEX, Answer, NoAnswerError, Task
from benchmarks.sweep.contestants.ablations import switched_off
from benchmarks.sweep.contestants.native import answer_from, options_of
from benchmarks.sweep.spending import Spending, spent
from tuner.cli.folders import has_journal
from tuner.data.vectors import open_vectors
from tuner.index.codec_view import CodecView
from tuner.index.graph import DerivableGraph
from tuner.runtime.steps import result_of
from tuner.space import default_space, load_space
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.index_file import write_and_check
from tuner.sweep.problem import Problem
from tuner.sweep.run import STAGES, finish, sweep
from tuner.sweep.stage_options import StageOptions
from tuner.types import OperatingPoint, Options, Result

NAMED = ("fastest", "smallest")
"""Points that are scored too, beside the recommended one."""


def run(task: Task, out: Path, *, without: str = "", exhaustive: bool = False) -> Answer:
    """Return the answer of ``tune``, with its points called fastest and smallest beside it.

    Args:
        task: the task.
        out: the contestant's folder.
        without: an idea of ``benchmarks.sweep.contestants.ablations``, switched off.
        exhaustive: build and measure every configuration natively.
    """
    name = "oracle" if exhaustive else "-".join(filter(None, ("ours", without)))
    space = load_space("oracle") if exhaustive else default_space()
    options = options_of(task, space, exhaustive=exhaustive)
    stages, builds = switched_off(without)
    stages, builders = keeping_builders(stages, options)
    resume = exhaustive and has_journal(out / "work")  # hours: it goes on where it was
    result = sweep_once(task, options, out, stages, resume=resume)
    # before the points that only the scorer asks for are delivered
    spending = _whole(result) if resume else spent()
    if result.recommendation is None:
        raise NoAnswerError("; ".join(("nothing that it measured reaches the target", *result.advice)))
    spent_on = {"n_builds": len(builds) or result.cost.n_graph_builds, "spending": spending}
    chosen = result.points[result.named[options.prefer]]
    answer = _answer(name, chosen, INDEX, **spent_on)
    also = []
    for key in NAMED:
        point = result.points[result.named[key]]
        index = INDEX if point == chosen else f"{key}/{INDEX}"
        if point != chosen:
            _deliver_too(builders[0], point, out / key)
        also.append(_answer(f"{name}: {key}", point, index, **spent_on))
    finish(out / "work")
    return replace(answer, also=tuple(also))


def sweep_once(
    task: Task, options: Options, out: Path, stages: StageOptions = STAGES, *, resume: bool = False
) -> Result:
    """Return the result of a sweep; what it derived stays in ``out/work``."""
    vectors, asked = open_vectors(task.base, "base"), open_vectors(task.tuning, "queries")
    return result_of(sweep(vectors, asked, options, out, out / "work", resume=resume, stages=stages))


def _whole(result: Result) -> Spending:
    """Return what this process and the stages of interrupted ones took; their imports are not in it."""
    now = spent()
    peak = max(now.peak_rss_bytes, result.cost.peak_rss_bytes)
    return Spending(max(now.cpu_s, result.cost.cpu_s), max(now.wall_s, result.cost.wall_s), peak)


def keeping_builders(stages: StageOptions, options: Options) -> tuple[StageOptions, list[IndexBuilder]]:
    """Return stages that keep what they make indexes with, so that more of them can be delivered."""
    builders: list[IndexBuilder] = []
    make = stages.builder_for(options)

    def keep(problem: Problem, graph: DerivableGraph, trained: dict[CodecView, bytes]) -> IndexBuilder:
        builders.append(make(problem, graph, trained))
        return builders[-1]

    return replace(stages, make_builder=keep), builders


def _deliver_too(builder: IndexBuilder, point: OperatingPoint, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    builder.keep_codecs(1)
    searchable = builder.serve(point.configuration)
    searchable.set_ef(point.ef_search)
    write_and_check(builder.problem, searchable, folder)


def _answer(name: str, point: OperatingPoint, index: str, **spent_on: Any) -> Answer:
    return answer_from(
        name,
        point.configuration,
        point.ef_search,
        memory_bytes=point.memory.resident_bytes,
        own_recall=point.recall.mean,
        reached=point.reaches_target,
        index=index,
        **spent_on,
    )
