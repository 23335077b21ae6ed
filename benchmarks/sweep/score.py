"""Score every answer the same way, on queries that no contestant has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faiss
import hnswlib
import numpy as np
import psutil

from benchmarks.sweep.answers import Answer, Task
from benchmarks.sweep.tasks import SCORING, prepared_base
from tuner.data.base import Base, prepared_queries
from tuner.data.vectors import open_vectors
from tuner.prediction.curves import search_counted
from tuner.recall.target import summarize
from tuner.recall.truth import Truth, search_exactly
from tuner.runtime.process import place_arrays_like_an_index, use_threads
from tuner.runtime.steps import result_of
from tuner.runtime.timing import BLOCK, interleave
from tuner.sweep.finalist_times import batched
from tuner.types import FloatArray, IdArray, Latency, Recall

FEWEST_ROUNDS, MOST_ROUNDS = 12, 24
MEMORY_SHARE = 0.4
"""Share of the available memory for indexes that are timed together."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """An answer with what the scorer saw.

    Attributes:
        answer: answer of the contestant.
        recall: tie-aware recall on the scoring queries.
        memory_bytes: size of the index file.
        ndis_per_query: distances computed per query; None where the engine does not count them.
        latency: time of one query on one thread, in interleaved rounds.
        product_ratio: memory x latency over that of the first answer, which is ours if ours took part.
        ordinary_builds: CPU seconds of the contestant over those of one ordinary build.
    """

    answer: Answer
    recall: Recall
    memory_bytes: int
    ndis_per_query: float | None
    latency: Latency
    product_ratio: float
    ordinary_builds: float

    def meets(self, target: float) -> bool:
        """Return whether the lower bound of the scorer's recall meets the target."""
        return self.recall.lower >= target


@dataclass(frozen=True)
class ScoringQueries:
    """The scoring queries with their exact neighbours in the prepared base."""

    base: Base
    queries: FloatArray
    truth: Truth

    @property
    def narrow(self) -> FloatArray:
        """Prepared queries without the column that ``ip`` adds: what a delivered index takes."""
        if self.base.metric != "ip":
            return self.queries
        return np.ascontiguousarray(self.queries[:, :-1])


Searching = Callable[[FloatArray], IdArray]
"""Narrow queries (nq, d) -> ids (nq, k)."""


def ask(task: Task, work: Path) -> ScoringQueries:
    """Return the scoring queries of a task."""
    use_threads(task.threads)
    vectors = open_vectors(task.base, "base")
    raw = open_vectors(work / SCORING, "queries")
    base = prepared_base(vectors, task.metric, task.seed, work / "scoring.f32")
    return scoring_queries(base, raw.read(0, raw.n), task.k)


def scoring_queries(base: Base, raw: FloatArray, k: int) -> ScoringQueries:
    """Return queries (nq, d), as the user has them, with their exact neighbours in a prepared base."""
    queries = prepared_queries(raw, base.metric)
    return ScoringQueries(base, queries, result_of(search_exactly(base.x, queries, k, k)))


def load(answer: Answer, folder: Path, asked: ScoringQueries, k: int) -> tuple[Searching, faiss.Index | None]:
    """Return what searches the delivered index, and the index itself if faiss made it."""
    path = folder / answer.index
    if answer.engine == "faiss":
        index = faiss.read_index(str(path))
        return lambda queries: np.asarray(index.search(queries, k)[1]), index
    other = hnswlib.Index(space="l2", dim=asked.base.d)
    other.load_index(str(path))
    other.set_ef(max(answer.ef_search, k))
    wide = asked.base.metric == "ip"

    def search(queries: FloatArray) -> IdArray:
        queries = np.pad(queries, ((0, 0), (0, 1))) if wide else queries
        return np.asarray(other.knn_query(queries, k=k, num_threads=1)[0], dtype=np.int64)

    return search, None


def score(task: Task, answers: list[Answer], work: Path, ordinary_cpu_s: float) -> tuple[list[Scored], float]:
    """Return the scored answers, in order, and the noise floor: what the first differs from itself by.

    Recall comes first, one index at a time. Latencies come from interleaved rounds of all indexes; where
    memory is short they come in batches, in each of which the first answer has its turn.
    """
    place_arrays_like_an_index()
    asked = ask(task, work)
    flat = [(each, work / answer.contestant) for answer in answers for each in (answer, *answer.also)]
    seen = [_recall_of(task, answer, folder, asked) for answer, folder in flat]
    latencies, noise = _latencies(task, flat, asked)
    (work / "scoring.f32").unlink()
    sizes = [(folder / answer.index).stat().st_size for answer, folder in flat]
    first = sizes[0] * latencies[0].mean_s if flat else 1.0
    scored = [
        Scored(
            answer=answer,
            recall=recall,
            memory_bytes=size,
            ndis_per_query=ndis,
            latency=latency,
            product_ratio=size * latency.mean_s / first,
            ordinary_builds=answer.cpu_s / ordinary_cpu_s,
        )
        for (answer, _), (recall, ndis), size, latency in zip(flat, seen, sizes, latencies, strict=True)
    ]
    return scored, noise


def _recall_of(
    task: Task, answer: Answer, folder: Path, asked: ScoringQueries
) -> tuple[Recall, float | None]:
    search, index = load(answer, folder, asked, task.k)
    ndis: float | None = None
    if index is None:
        ids = search(asked.narrow)
    else:
        ids, counted, _ = search_counted(index, asked.narrow, task.k)
        ndis = counted or None
    hits = asked.truth.hits(asked.base.x, asked.queries, ids)
    return summarize(hits, task.k, task.confidence), ndis


def _latencies(
    task: Task, flat: list[tuple[Answer, Path]], asked: ScoringQueries
) -> tuple[list[Latency], float]:
    """Return the latency of each answer, and the noise floor."""
    sizes = [float((folder / answer.index).stat().st_size) for answer, folder in flat]
    limit = max(1.0, MEMORY_SHARE * psutil.virtual_memory().available - sizes[0]) if flat else 1.0
    latencies: list[Latency] = []
    noise, first_s = 0.0, 0.0
    for batch in batched(sizes, limit):
        numbers = [0, *(number for number in batch if number != 0)]
        searches = [load(*flat[number], asked, task.k)[0] for number in numbers]
        timings = interleave(
            [*searches, searches[0]],
            asked.narrow,
            task.seed,
            a_round=BLOCK,
            twins=(0, len(searches)),
            fewest=FEWEST_ROUNDS,
            most=MOST_ROUNDS,
        )
        noise = max(noise, abs(timings.ratio(len(searches), 0) - 1))
        first_s = first_s or timings.latency(0, 0).mean_s
        drift = first_s / timings.latency(0, 0).mean_s
        latencies += [
            timings.latency(place, 0).scaled(drift) for place, number in enumerate(numbers) if number in batch
        ]
        del searches
    return latencies, noise
