"""Which ef_search the recommended index needs for other k and other targets, each certified by the queries.

One search answers for every k up to the neighbours that it asked for, so that a few dozen are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tuner.data.base import Base
from tuner.index.assemble import SearchableIndex
from tuner.prediction.curves import search_counted
from tuner.recall.target import Target
from tuner.recall.truth import MARGIN, Truth, search_exactly
from tuner.sweep.ef_search import EfResult, find_min_ef
from tuner.sweep.problem import Problem
from tuner.types import CertifiedEf, IdArray, OperatingPoint, Steps

TABLE_QUERIES = 500
"""Queries that the table is certified by: the bound is theirs."""
USUAL_KS, USUAL_RECALLS = (1, 5, 10, 20, 50, 100), (0.9, 0.95, 0.98, 0.99)
"""What the table is of where nothing else is asked for."""
LEAST_DISTANCES, DISTANCES_A_ROW = 5e6, 50
"""Distances, and distances a row of the base, after which nothing more is tried. Measured at .6 us each: the
first is 3 s and the others are a twelfth of the time of an ordinary build."""
MOST_TIMES = 6
"""Times the ef_search of the target before beyond which a higher one is not looked for."""


@dataclass(frozen=True)
class Asked:
    """An index and the queries that it is asked, none of which is a row of it.

    Attributes:
        some: positions of the queries.
        truth: their exact neighbours, to the largest k at least.
    """

    searchable: SearchableIndex
    base: Base
    some: IdArray
    truth: Truth


def ks_of(problem: Problem) -> tuple[int, ...]:
    """Return the k of the table, none so large that hardly any row is no answer."""
    options, n = problem.options, problem.base.n
    return tuple(
        k for k in sorted({options.k, *(options.other_ks or USUAL_KS)}) if k <= max(options.k, n // 10)
    )


def deep_truth(problem: Problem, some: IdArray) -> Steps[Truth]:
    """Yield the share done; return exact neighbours of some queries, to the largest k of the table."""
    most, base = max(ks_of(problem)), problem.base
    return (yield from search_exactly(base.x, problem.queries[some], most + MARGIN, most, base.weights))


def ef_table(
    problem: Problem, chosen: OperatingPoint, asked: Sequence[Asked], fell: float = 0.0
) -> tuple[CertifiedEf, ...]:
    """Return ef_search of an index for other k and targets.

    Args:
        problem: the problem, with the quantile that the index was chosen at.
        chosen: the point that was chosen.
        asked: the index and the queries, perhaps in parts.
        fell: recall that bounds are lowered by.
    """
    options, ks = problem.options, ks_of(problem)
    recalls = sorted({options.recall, *(options.other_recalls or USUAL_RECALLS)})
    return tuple(EfTable(problem, asked, max(ks), fell).cells(chosen, ks, recalls))


@dataclass
class EfTable:
    """Searches for a table, each of which is used for as many cells as it can.

    Attributes:
        k_max: largest k of the table.
        fell: recall that bounds are lowered by.
        spent: distances computed so far.
    """

    problem: Problem
    asked: Sequence[Asked]
    k_max: int
    fell: float = 0.0
    spent: float = 0.0
    _truths: dict[tuple[int, int], Truth] = field(default_factory=dict)
    _answers: dict[tuple[int, int], tuple[list[IdArray], float]] = field(default_factory=dict)

    def cells(self, chosen: OperatingPoint, ks: Sequence[int], recalls: Sequence[float]) -> list[CertifiedEf]:
        """Return the least certified ef_search for each target and k that was found, low targets first."""
        found: list[CertifiedEf] = []
        most = max(LEAST_DISTANCES, DISTANCES_A_ROW * self.problem.base.n)
        guesses = dict.fromkeys(ks, chosen.ef_search)
        for recall in recalls:
            for k, guess in list(guesses.items()):
                if self.spent > most:
                    return found
                mine = (k, recall) == (self.problem.options.k, self.problem.options.recall)
                cell = _of(chosen, k, recall) if mine else self._cell(k, recall, guess)
                if cell is None:
                    del guesses[k]  # a higher target needs more still
                    continue
                found.append(cell)
                guesses[k] = cell.ef_search
        return found

    def _cell(self, k: int, recall: float, guess: int) -> CertifiedEf | None:
        """Return the least ef_search that is certified for a k and a target, None where none is."""
        options = self.problem.options
        target = Target(
            recall=recall,
            k=k,
            confidence=options.confidence,
            n_queries=sum(len(part.some) for part in self.asked),
            quantile=self.problem.quantile,
        )
        if target.best_bound < recall:
            return None

        def at(ef_search: int) -> EfResult:
            hits, ndis = self._hits(ef_search, k)
            mean = float(hits.mean()) / k
            return EfResult(ef_search, hits, ndis, 0.0, mean, target.needed(hits) + self.fell)

        least = k * self.asked[0].searchable.configuration.rerank_factor
        most = max(least, min(options.space.ef_search_max, MOST_TIMES * guess))
        found = find_min_ef(at, least, max(least, guess), most)
        if not found.passes:
            return None
        seen = target.summarize(found.hits)
        return CertifiedEf(
            k=k,
            target=recall,
            ef_search=found.ef_search,
            recall=replace(seen, lower=seen.lower - self.fell),
            ndis_per_query=found.ndis,
        )

    def _hits(self, ef_search: int, k: int) -> tuple[NDArray[np.int64], float]:
        """Return right answers of all queries among k, and distances a query."""
        reranked = self.asked[0].searchable.configuration.rerank is not None
        width = k if reranked else max(k, min(ef_search, self.k_max))
        key = (ef_search, width)
        if key not in self._answers:
            self._answers[key] = self._searched(ef_search, width)
        ids, ndis = self._answers[key]
        hits = [
            self._truth(number, k).hits(part.base.x, self.problem.queries[part.some], mine)
            for number, (part, mine) in enumerate(zip(self.asked, ids, strict=True))
        ]
        return np.concatenate(hits), ndis

    def _searched(self, ef_search: int, width: int) -> tuple[list[IdArray], float]:
        found, n_queries, distances = [], 0, 0.0
        for part in self.asked:
            part.searchable.set_ef(ef_search)
            ids, ndis, _ = search_counted(part.searchable.index, self.problem.raw[part.some], width)
            found.append(ids)
            n_queries += len(part.some)
            distances += ndis * len(part.some)
        self.spent += distances
        return found, distances / n_queries

    def _truth(self, number: int, k: int) -> Truth:
        part = self.asked[number]
        if (number, k) not in self._truths:
            self._truths[number, k] = part.truth.at(k, part.base.x, self.problem.queries[part.some])
        return self._truths[number, k]


def _of(chosen: OperatingPoint, k: int, recall: float) -> CertifiedEf:
    return CertifiedEf(
        k=k,
        target=recall,
        ef_search=chosen.ef_search,
        recall=chosen.recall,
        ndis_per_query=chosen.ndis_per_query,
    )
