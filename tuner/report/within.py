"""Which of what was measured is best within other limits than those that the run had."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from tuner.prediction.choice import choose
from tuner.types import PREFERENCES, OperatingPoint, Preference, Result, Setting

MOST_POINTS = 100
"""Points, the first of the report, that are told in full: whoever measures a whole space has thousands."""


def settings_of(result: Result) -> tuple[Setting, ...]:
    """Every index at every ef_search that it was measured with, point by point, ascending."""
    positions = range(min(len(result.points), MOST_POINTS))
    return tuple(setting for position in positions for setting in _settings_at(result, position))


def best_within(
    result: Result, recall: float, max_memory_bytes: float = inf, prefer: Preference | None = None
) -> Setting | None:
    """What the run would have recommended of what it measured, had it been asked for these limits.

    Each index takes part at the least ef_search whose lower bound meets the target; then the rule is that of
    the run. At the run's own target this is the run's own answer.

    Args:
        result: what the run found.
        recall: target recall@k.
        max_memory_bytes: limit on resident bytes.
        prefer: named point to take, None for the one that the run was asked for.

    Returns:
        The setting; None where nothing that was measured meets the limits.
    """
    found = _named_within(result, _taking_part(result), recall, max_memory_bytes)
    return found.get(prefer or result.options.prefer)


@dataclass(frozen=True)
class AnswerTable:
    """The answer for all limits: they change it only where a bound or a size is passed.

    Attributes:
        settings: what takes part.
        recalls: lower bounds, ascending; a target between two of them has the answer of the upper one.
        sizes: resident bytes, ascending; a budget between two of them has the answer of the lower one.
        answers: positions in ``settings`` by preference, then by recall, then by size; -1 where nothing fits.
        own: the same for the run's own target, by preference and size.
    """

    settings: tuple[Setting, ...]
    recalls: tuple[float, ...]
    sizes: tuple[int, ...]
    answers: dict[str, list[list[int]]]
    own: dict[str, list[int]]


def answer_table(result: Result) -> AnswerTable:
    """The best settings for every target and every memory budget."""
    groups = _taking_part(result)
    settings = tuple(setting for group in groups for setting in group)
    recalls = sorted({setting.lower for setting in settings})
    sizes = sorted({setting.memory_bytes for setting in settings})
    numbers = {setting: number for number, setting in enumerate(settings)}

    def rows(recall: float) -> dict[str, list[int]]:
        by_size = [_named_within(result, groups, recall, size) for size in sizes]
        return {
            prefer: [numbers[named[prefer]] if prefer in named else -1 for named in by_size]
            for prefer in PREFERENCES
        }

    by_recall = [rows(recall) for recall in recalls]
    return AnswerTable(
        settings=settings,
        recalls=tuple(recalls),
        sizes=tuple(sizes),
        answers={prefer: [each[prefer] for each in by_recall] for prefer in PREFERENCES},
        own=rows(result.options.recall),
    )


def _named_within(
    result: Result, groups: list[list[Setting]], recall: float, max_memory_bytes: float
) -> dict[str, Setting]:
    """The smallest, fastest and balanced of what meets the limits; empty where nothing does."""
    fitting = [
        setting
        for group in groups
        if (setting := _least_passing(result, group, recall)) is not None
        and setting.memory_bytes <= max_memory_bytes
    ]
    choice = choose(
        [float(each.memory_bytes) for each in fitting],
        [each.seconds for each in fitting],
        [each.modelled_s for each in fitting],
        result.noise_floor or 0.0,
    )
    return {name: fitting[at] for name, at in choice.named.items()}


def _taking_part(result: Result) -> list[list[Setting]]:
    """Settings of each point that was timed; of all points where none was, the first of them."""
    every = range(len(result.points))
    timed = [i for i in every if result.points[i].latency is not None]
    return [_settings_at(result, i) for i in timed or every[:MOST_POINTS]]


def _least_passing(result: Result, settings: list[Setting], recall: float) -> Setting | None:
    options = result.options
    for setting in settings:
        point = result.points[setting.position]
        own = setting.ef_search == point.ef_search
        if recall == options.recall:
            passes = own and point.reaches_target
        else:
            passes = setting.lower >= recall and _in_time(point, setting, options.max_latency_s)
        if passes:
            return setting
    return None


def _in_time(point: OperatingPoint, setting: Setting, most_s: float | None) -> bool:
    if most_s is None or point.latency is None:
        return True
    return point.latency.p95_s * setting.seconds / point.seconds <= most_s


def _settings_at(result: Result, position: int) -> list[Setting]:
    point = result.points[position]
    own = (point.ef_search, point.recall.mean, point.recall.lower, point.ndis_per_query, 1.0)
    tried = [
        (each.ef_search, each.recall, each.lower, each.ndis_per_query, each.time_ratio)
        for each in point.tried
    ]
    return [
        Setting(
            position=position,
            label=point.configuration.label,
            ef_search=ef_search,
            recall=mean,
            lower=lower,
            ndis_per_query=ndis,
            memory_bytes=point.memory.resident_bytes,
            seconds=point.seconds * ratio,
            modelled_s=point.modelled_latency_s * ratio,
            timed=ef_search == point.ef_search and point.latency is not None,
        )
        for ef_search, mean, lower, ndis, ratio in sorted((own, *tried))
    ]
