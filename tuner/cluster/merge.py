"""The answers of all shards as one answer, and the neighbours of all shards as one truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tuner.cluster.shard import Near
from tuner.cluster.shard_index import Answered
from tuner.recall.metric import first_occurrences, is_right
from tuner.recall.truth import MARGIN, Truth, truth_of
from tuner.types import FloatArray, IdArray


def merged_truth(found: Sequence[Near], k: int) -> Truth:
    """Return the truth of all rows from the nearest rows within each shard.

    Example:
        >>> one = Near(np.array([[4, 9]]), np.array([[1.0, 3.0]]))
        >>> other = Near(np.array([[2, 5]]), np.array([[2.0, 3.0]]))
        >>> merged_truth([one, other], 2).ids.tolist()
        [[4, 2, 5, 9]]
    """
    return truth_of(*merged_near(found, k + MARGIN), k)


def merged_near(found: Sequence[Near], depth: int) -> tuple[IdArray, NDArray[np.float64]]:
    """Return the nearest rows (nq, depth) of all shards and their exact distances; of equals the first."""
    rows = np.hstack([each.rows for each in found])
    distances = np.hstack([each.distances for each in found])
    order = np.lexsort((rows, distances), axis=1)[:, :depth]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)


def merged_hits(answers: Sequence[Answered], truth: Truth) -> NDArray[np.int64]:
    """Return tie-aware hits (nq,) of the k best answers of all shards, by the distances that indexes give."""
    scores: FloatArray = np.hstack([np.where(each.rows >= 0, each.scores, np.inf) for each in answers])
    order = np.argsort(scores, axis=1, kind="stable")[:, : truth.k]
    rows = np.take_along_axis(np.hstack([each.rows for each in answers]), order, axis=1)
    distances = np.take_along_axis(np.hstack([each.distances for each in answers]), order, axis=1)
    hits: NDArray[np.int64] = (first_occurrences(rows) & is_right(distances, truth.kth_distance)).sum(axis=1)
    return hits


def representative_of(found: Sequence[Near], k: int) -> int:
    """Return the number of the shard whose k-th neighbours are as far away as those of most shards.

    It is the one whose mean log distance to them is the median of all, and of two the one of fewer surprises:
    smaller shards or shards of outliers lie at the ends.

    Example:
        >>> near = [Near(np.zeros((2, 1), int), np.full((2, 1), far)) for far in (1.0, 4.0, 2.0)]
        >>> representative_of(near, 1)
        2
    """
    far = [float(np.log(each.distances[:, :k][:, -1] + np.finfo(np.float32).tiny).mean()) for each in found]
    order = np.argsort(far, kind="stable")
    return int(order[(len(order) - 1) // 2])


def shards_of(truth: Truth, found: Sequence[Near]) -> IdArray:
    """Return the shard (nq, k) of each of the k nearest rows.

    Example:
        >>> near = [Near(np.array([[4, 9]]), np.ones((1, 2))), Near(np.array([[2, 5]]), np.ones((1, 2)))]
        >>> shards_of(Truth(np.array([[4, 2]]), np.ones((1, 2), bool), np.ones(1), 2), near).tolist()
        [[0, 1]]
    """
    rows = truth.ids[:, : truth.k]
    numbers = np.zeros(rows.shape, dtype=np.int64)
    for number, each in enumerate(found):
        numbers[np.isin(rows, each.rows)] = number
    return numbers


def k_of_each(truth: Truth, shard_of: IdArray, n_shards: int, lost: float) -> int:
    """Return how many answers of each shard are enough, so that at most a share of the true ones is lost.

    Args:
        shard_of: (nq, k) shard of each of the k nearest rows.
        lost: share of them that may be beyond what a shard is asked for.

    Example:
        >>> truth = Truth(np.zeros((1, 4), int), np.ones((1, 4), bool), np.ones(1), 4)
        >>> k_of_each(truth, np.array([[0, 1, 1, 1]]), 2, 0.25)
        2
    """
    counts = np.array([(shard_of == number).sum(axis=1) for number in range(n_shards)])
    for k in range(1, truth.k):
        if np.maximum(counts - k, 0).sum() <= lost * shard_of.size:
            return k
    return truth.k
