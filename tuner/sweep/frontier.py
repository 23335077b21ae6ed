"""Really measure what could be on the front, and nothing else.

The surface is a prediction. Candidates are measured codec by codec, the most promising first; one that
promises neither less memory nor less time than what is measured is left out. Points are compared by
their own ndis and ef_search at costs that were timed side by side before: no clock runs here.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tuner.index.codec_view import CodecView
from tuner.prediction.curves import Curve
from tuner.prediction.pareto import dominated_by_more_than
from tuner.prediction.surface import Candidate, CodecCost
from tuner.runtime.journal import Journal
from tuner.sweep.baseline import reference_configuration
from tuner.sweep.candidates import best_reachable, whole_surface
from tuner.sweep.codecs import CodecEvaluation
from tuner.sweep.ef_search import operating_point, tune_ef
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.problem import Problem
from tuner.text import counted
from tuner.types import Configuration, Event, OperatingPoint, Steps

SAME_CODES_SLACK = 0.03
"""Share by which a predicted latency may be too high, beside points of the same codec."""
SLACK = 0.0
"""The same beside other codecs: on the front, more memory must buy time."""
RERANKED_SLACK = -0.10
"""With re-ranking a gain is asked for: predictions were seen to err on the low side only."""
MOST_POINTS = 12
"""Points measured at full size at most."""
FRONTIER_SHARE = 0.7
"""Share of the time budget after which no further codec is measured."""
LARGEST_SHARE = 1.0
"""Candidates above this many times the float32 M=16 index are left out."""


@dataclass(frozen=True)
class Group:
    """The candidates of one codec, measured together because the base is encoded once for them.

    Attributes:
        key: what they share.
        candidates: those that no other candidate is predicted to beat.
        beaten: all others, which come next where none of those reaches the target.
    """

    key: str
    candidates: tuple[Candidate, ...]
    beaten: tuple[Candidate, ...] = ()


def codec_key(configuration: Configuration) -> str:
    """Return what candidates share when they share codes."""
    return f"{CodecView.of(configuration)}+{configuration.rerank}"


def next_group(remaining: list[Candidate], measured: list[OperatingPoint], done: set[str]) -> Group | None:
    """Return the most promising group that still has an unbeaten candidate, or None."""
    open_ = [c for c in remaining if codec_key(c.configuration) not in done]
    plain = [c for c in open_ if c.configuration.rerank is None]
    reranked = [c for c in open_ if c.configuration.rerank is not None]
    open_ = [
        *standing(plain, measured),
        # among themselves they are equals; of what needs no re-ranking they must promise a gain
        *unbeaten(unbeaten(reranked, plain, measured, RERANKED_SLACK), reranked, [], 0.0),
    ]
    if not open_:
        return None
    # codecs that need no re-ranking first: they are what the others have to beat
    best = min(
        open_,
        key=lambda c: (
            c.configuration.rerank is not None,
            c.memory.resident_bytes * c.latency_s,
            c.configuration.label,
        ),
    )
    key = codec_key(best.configuration)
    mine = [c for c in remaining if codec_key(c.configuration) == key]
    return Group(key, tuple(c for c in mine if c in open_), tuple(c for c in mine if c not in open_))


def standing(asked: list[Candidate], measured: list[OperatingPoint]) -> list[Candidate]:
    """Return the candidates that nothing measured and no other of them clearly beats, codec by codec."""
    kept = []
    for view in dict.fromkeys(CodecView.of(c.configuration) for c in asked):
        mine = [c for c in asked if CodecView.of(c.configuration) == view]
        others = [c for c in asked if CodecView.of(c.configuration) != view]
        of_mine = [p for p in measured if CodecView.of(p.configuration) == view]
        of_others = [p for p in measured if CodecView.of(p.configuration) != view]
        mine = unbeaten(mine, mine, of_mine, SAME_CODES_SLACK)
        kept += unbeaten(mine, others, of_others, SLACK)
    return kept


def unbeaten(
    asked: list[Candidate], rivals: list[Candidate], measured: list[OperatingPoint], slack: float
) -> list[Candidate]:
    """Return the candidates that no other candidate and no measured point beats by more than ``slack``."""
    reached = [p for p in measured if p.reaches_target]
    memory = [c.memory.resident_bytes for c in rivals] + [p.memory.resident_bytes for p in reached]
    latency = [c.latency_s for c in rivals] + [p.modelled_latency_s for p in reached]
    beaten = dominated_by_more_than(
        [c.memory.resident_bytes for c in asked], [c.latency_s for c in asked], memory, latency, slack
    )
    return [candidate for candidate, lost in zip(asked, beaten, strict=True) if not lost]


@dataclass(frozen=True)
class Frontier:
    """What was measured of the surface.

    Attributes:
        points: measured points, codec by codec.
        out_of_time: whether the time budget ended the measurements early.
    """

    points: tuple[OperatingPoint, ...]
    out_of_time: bool


def measure_frontier(
    journal: Journal,
    problem: Problem,
    builder: IndexBuilder,
    curves: dict[int, Curve],
    evaluation: CodecEvaluation,
    most_points: int = MOST_POINTS,
) -> Generator[Event, None, Frontier]:
    """Yield events; return what was measured of the surface, codec by codec."""
    remaining = _worth_measuring(problem, builder, curves, evaluation)
    measured: list[OperatingPoint] = []
    done: set[str] = set()
    while len(measured) < most_points:
        if measured and out_of_time(journal.spent_s, problem.options.time_budget_s, FRONTIER_SHARE):
            return Frontier(tuple(measured), out_of_time=True)
        group = next_group(remaining, measured, done)
        if group is None:
            break
        points = yield from journal.stage(
            f"frontier-{group.key}",
            f"measure {group.key.split('@')[0]} ({counted(len(group.candidates), 'candidate')})",
            tuple[OperatingPoint, ...],
            partial(
                measure_group, problem, builder, group, curves, evaluation.costs, list(measured), most_points
            ),
        )
        measured += points
        done.add(group.key)
        remaining = [c for c in remaining if codec_key(c.configuration) not in done]
    return Frontier(tuple(measured), out_of_time=False)


def _worth_measuring(
    problem: Problem, builder: IndexBuilder, curves: dict[int, Curve], evaluation: CodecEvaluation
) -> list[Candidate]:
    """Return the candidates of the surface that fit into memory, or the smallest three."""
    found: list[Candidate] = []
    # with the margin, without it, and then the best there is: an honest no still shows it
    for aim in (problem.aim, problem.options.recall, best_reachable(curves, evaluation.ceilings)):
        found = found or whole_surface(
            problem, curves, evaluation.ceilings, evaluation.costs, builder.graph, aim=aim
        )
    surface = [replace(c, memory=builder.memory_of(c.configuration)) for c in found]
    # nothing larger than the index that most people have is worth a measurement, unless only time counts
    limit = problem.max_memory_bytes()
    if problem.options.prefer != "fastest":
        usual = LARGEST_SHARE * builder.memory_of(reference_configuration(problem)).resident_bytes
        limit = min(limit, usual)
    fitting = [c for c in surface if c.memory.resident_bytes <= limit]
    return fitting or sorted(surface, key=lambda c: (c.memory.resident_bytes, c.configuration.label))[:3]


def measure_group(
    problem: Problem,
    builder: IndexBuilder,
    group: Group,
    curves: dict[int, Curve],
    costs: dict[CodecView, CodecCost],
    measured: list[OperatingPoint],
    most_points: int = MOST_POINTS,
) -> Steps[tuple[OperatingPoint, ...]]:
    """Yield the share done; return the measured points of one codec."""
    builder.keep_codecs(1)  # drops the codes of the group before
    points: list[OperatingPoint] = []
    waiting, beaten = sorted(group.candidates, key=_product), list(group.beaten)
    shown = 1.0  # what the ef that was found was to the one predicted, for this codec
    while len(measured) + len(points) < most_points:
        if not waiting and not any(point.reaches_target for point in (*measured, *points)):
            # what beat them is not what was predicted of it
            waiting = sorted(unbeaten(beaten, beaten, [], 0.0), key=_product)
            beaten = [c for c in beaten if c not in waiting]
        if not waiting:
            break
        candidate = waiting.pop(0)
        what = candidate.configuration
        searchable = builder.serve(what)
        guess = round(candidate.ef_search * shown)
        ef_result = tune_ef(
            problem, searchable, guess, problem.options.space.ef_search_max, candidate.ceiling
        )
        shown = ef_result.ef_search / candidate.ef_search
        recall = candidate.ceiling * curves[what.M].recall_at(ef_result.ef_search)
        cost = costs[CodecView.of(what)]
        points.append(operating_point(problem, searchable, ef_result, candidate.memory, recall, cost))
        keep = standing(waiting, [*measured, *points])
        del searchable  # its links, before those of the next are made
        problem.base.release()
        beaten += [c for c in waiting if c not in keep]
        waiting = [c for c in waiting if c in keep]
        yield len(points) / (len(points) + len(waiting))
    return tuple(points)


def _product(candidate: Candidate) -> float:
    return candidate.memory.resident_bytes * candidate.latency_s


def out_of_time(spent_s: float, budget_s: float | None, share: float) -> bool:
    """Return whether that share of the time budget is spent."""
    return budget_s is not None and spent_s > share * budget_s


def prediction_error(points: Sequence[OperatingPoint]) -> float | None:
    """Return the mean absolute error of predicted recall over measured points."""
    errors = [abs(p.predicted_recall - p.recall.mean) for p in points if p.predicted_recall is not None]
    return float(np.mean(errors)) if errors else None
