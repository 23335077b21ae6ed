"""Really measure what could be on the front, and nothing else.

The surface is a prediction. Candidates are measured codec by codec, the most promising first; what
is measured corrects the price of its codec, and a candidate that a measured point beats by more than
the prediction can be wrong is left out.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tuner.curves import Curve
from tuner.journal import Journal
from tuner.pareto import dominated_by_more_than
from tuner.quantizers import quantizer
from tuner.surface import Candidate, Prices
from tuner.sweep.baseline import reference_configuration
from tuner.sweep.candidates import best_reachable, whole_surface
from tuner.sweep.codecs import Study
from tuner.sweep.measure import operating_point, tune_ef
from tuner.sweep.problem import Problem
from tuner.sweep.workbench import Workbench, encoder_name
from tuner.sweep.yardstick import quick_latency
from tuner.timing import Yardstick
from tuner.types import Configuration, Event, OperatingPoint, Steps, Warned

SLACK = 0.08
"""Share by which a predicted latency may be too high: candidates inside it are measured."""

MEASURED_SLACK = 0.05
"""The same once the codec's price is corrected by a measurement."""

RERANKED_SLACK = -0.10
"""The same with re-ranking, whose predictions were seen to err on the low side only: a gain is asked for."""

SAME_CODES_SLACK = 0.03
"""The same between candidates of one codec: its price cancels out."""

MOST_POINTS = 16
"""Points measured at full size at most."""
FRONTIER_SHARE = 0.7
"""Share of the time budget after which no further codec is measured."""
LARGEST_SHARE = 1.0
"""Candidates above this many times the float32 M=16 index are left out."""


@dataclass(frozen=True)
class Group:
    """The candidates of one codec, measured together because the base is encoded once for them."""

    key: str
    candidates: tuple[Candidate, ...]


def codec_key(configuration: Configuration) -> str:
    """Return what candidates share when they share codes."""
    return f"{configuration.codec}@{configuration.cut}{configuration.dims}+{configuration.rerank}"


def codes_of(configuration: Configuration) -> tuple[str, str, int]:
    """Return what two configurations share whose distances cost the same."""
    return configuration.codec, configuration.cut, configuration.dims


def _best_of_each_codec(open_: list[Candidate]) -> list[Candidate]:
    """Return the candidates that no other of the same codec clearly beats: there the price cancels out."""
    by_codec: dict[tuple[str, str, int], list[Candidate]] = {}
    for candidate in open_:
        by_codec.setdefault(codes_of(candidate.configuration), []).append(candidate)
    return [kept for mine in by_codec.values() for kept in unbeaten(mine, mine, [], SAME_CODES_SLACK)]


def next_group(remaining: list[Candidate], measured: list[OperatingPoint], done: set[str]) -> Group | None:
    """Return the most promising group that still has an unbeaten candidate, or None."""
    open_ = corrected([c for c in remaining if codec_key(c.configuration) not in done], measured)
    open_ = _best_of_each_codec(open_)
    known = {codes_of(p.configuration) for p in measured}
    plain = [c for c in open_ if c.configuration.rerank is None]
    reranked = [c for c in open_ if c.configuration.rerank is not None]
    open_ = [
        *unbeaten([c for c in plain if codes_of(c.configuration) in known], open_, measured, MEASURED_SLACK),
        *unbeaten([c for c in plain if codes_of(c.configuration) not in known], open_, measured, SLACK),
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
    return Group(key, tuple(c for c in open_ if codec_key(c.configuration) == key))


def corrected(open_: list[Candidate], measured: list[OperatingPoint]) -> list[Candidate]:
    """Return the candidates at prices that measured points have shown.

    The nearest relatives decide: the same codec with or without re-ranking as the candidate has it, else
    the same family, else all with or without re-ranking, else all that was measured.
    """
    shown: dict[tuple[object, ...], list[float]] = {}
    for point in measured:
        if point.predicted_latency_s:
            ratio = float(np.log(point.modelled_latency_s / point.predicted_latency_s))
            for relatives in _relatives(point.configuration):
                shown.setdefault(relatives, []).append(ratio)
    return [replace(c, latency_s=c.predicted_s * _correction(c.configuration, shown)) for c in open_]


def _relatives(configuration: Configuration) -> list[tuple[object, ...]]:
    reranked = configuration.rerank is not None
    kind = quantizer(configuration.codec, configuration.dims).kind
    return [(configuration.codec, reranked), (kind, reranked), (reranked,), ()]


def _correction(configuration: Configuration, shown: dict[tuple[object, ...], list[float]]) -> float:
    for relatives in _relatives(configuration):
        if relatives in shown:
            return float(np.exp(np.mean(shown[relatives])))
    return 1.0


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


def measure_frontier(
    journal: Journal,
    problem: Problem,
    bench: Workbench,
    curves: dict[int, Curve],
    study: Study,
    yardstick: Yardstick,
    started: float,
    warnings: list[str],
) -> Generator[Event, None, list[OperatingPoint]]:
    """Yield events; return what was measured of the surface, codec by codec."""
    found: list[Candidate] = []
    # with the margin, without it, and then the best there is: an honest no still shows it
    for aim in (problem.aim, problem.options.recall, best_reachable(curves, study.ceilings)):
        found = found or whole_surface(problem, curves, study.ceilings, study.prices, bench.links, aim=aim)
    surface = [replace(c, memory=bench.memory_of(c.configuration)) for c in found]
    # beside the limit, nothing much larger than the index that most people have is worth a measurement
    usual = LARGEST_SHARE * bench.memory_of(reference_configuration(problem)).resident_bytes
    limit = min(problem.max_memory_bytes(), usual)
    fitting = [c for c in surface if c.memory.resident_bytes <= limit]
    remaining = fitting or sorted(surface, key=lambda c: (c.memory.resident_bytes, c.configuration.label))[:3]
    measured: list[OperatingPoint] = []
    done: set[str] = set()
    while len(measured) < MOST_POINTS:
        if measured and out_of_time(started, problem.options.time_budget_s, FRONTIER_SHARE):
            warnings.append("the time budget ended the measurements early: the front may lack a point")
            yield Warned(warnings[-1])
            break
        group = next_group(remaining, measured, done)
        if group is None:
            break
        rivals = list(measured)
        points = yield from journal.stage(
            f"frontier-{group.key}",
            f"measure {group.key.split('@')[0]} ({len(group.candidates)} candidates)",
            tuple[OperatingPoint, ...],
            partial(
                measure_group,
                problem,
                bench,
                group,
                curves,
                study.prices,
                yardstick,
                rivals,
                MOST_POINTS - len(rivals),
            ),
        )
        measured += points
        done.add(group.key)
        seen = {point.configuration for point in measured}
        remaining = [
            c for c in remaining if c.configuration not in seen and codec_key(c.configuration) not in done
        ]
    return measured


def measure_group(
    problem: Problem,
    bench: Workbench,
    group: Group,
    curves: dict[int, Curve],
    prices: dict[str, Prices],
    yardstick: Yardstick,
    measured: list[OperatingPoint],
    most: int,
) -> Steps[tuple[OperatingPoint, ...]]:
    """Yield the share done; return the measured points of one codec.

    Among themselves they are compared by ndis, ef_search and one price, which the clock corrects for all
    of them together: a moment in which the machine is slow does not change their order.

    Args:
        yardstick: what every latency is a ratio to.
        most: points to measure at most.
    """
    bench.keep_codecs(1)  # drops the codes of the group before
    points: list[OperatingPoint] = []
    ratios: list[float] = []  # of the clock to the model: what this codec's price is off by
    waiting = sorted(group.candidates, key=lambda c: c.memory.resident_bytes * c.latency_s)
    shown = 1.0  # what the ef that was found was to the one predicted, for this codec
    while waiting and len(points) < most:
        candidate = waiting.pop(0)
        what = candidate.configuration
        served = bench.serve(what)
        guess = round(candidate.ef_search * shown)
        tuned = tune_ef(problem, served, guess, problem.options.space.ef_search_max)
        shown = tuned.ef_search / candidate.ef_search
        price = prices[encoder_name(what.codec, what.dims, what.cut)]
        n_reranked = problem.options.k * what.rerank_factor
        modelled = price.latency_s(tuned.ndis, tuned.ef_search, what.rerank, n_reranked)
        timed = quick_latency(problem, served, tuned, yardstick)
        ratios.append(float(np.log(timed / modelled)))
        recall = candidate.ceiling * curves[what.M].recall_at(tuned.ef_search)
        points.append(operating_point(problem, served, tuned, candidate.memory, recall, modelled, timed))
        off = float(np.exp(np.mean(ratios)))
        points = [replace(p, modelled_latency_s=off * (p.predicted_latency_s or 0.0)) for p in points]
        repriced = [replace(c, latency_s=c.predicted_s * off) for c in waiting]
        keep = unbeaten(repriced, repriced, [*measured, *points], MEASURED_SLACK)
        del served  # its links, before those of the next are made
        problem.base.release()
        kept = {c.configuration for c in keep}
        waiting = [c for c in waiting if c.configuration in kept]
        yield len(points) / (len(points) + len(waiting))
    return tuple(points)


def out_of_time(started: float, budget_s: float | None, share: float) -> bool:
    """Return whether that share of the time budget is spent."""
    return budget_s is not None and time.perf_counter() - started > share * budget_s


def prediction_error(points: list[OperatingPoint]) -> float | None:
    """Return the mean absolute error of predicted recall over measured points."""
    errors = [abs(p.predicted_recall - p.recall.mean) for p in points if p.predicted_recall is not None]
    return float(np.mean(errors)) if errors else None
