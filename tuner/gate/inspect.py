"""An index file looked into: its shape, its links and its vectors, against what was frozen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuner.data.base import Base
from tuner.data.copies import COPIES_FILE, read_copies
from tuner.data.ids import fits_in_index
from tuner.data.vectors import Vectors
from tuner.index.layers import links_of_level_0
from tuner.index.opened import IndexUnderTest, prepared_rows
from tuner.index.stored import compare, stored_codes
from tuner.sweep.problem import Problem
from tuner.types import GateBaseline, Line

FEW_EMPTY, EMPTY_NODES = 3, 0.001
"""Nodes without a link, in number and as a share, that are not taken for damage."""
SAMPLE = 1_000
STALE = 0.01
"""Share of the sampled vectors that may be others than those of the base."""


def inspect_file(
    opened: IndexUnderTest, baseline: GateBaseline, problem: Problem, vectors: Vectors
) -> list[Line]:
    """Return what an index file says of itself, against the baseline."""
    graph = opened.graph
    if graph is None:
        return []
    other = differences(opened, baseline, problem)
    lines = [
        Line("configuration", "fail" if other else "pass", "; ".join(other) or f"{baseline.label}, as frozen")
    ]
    same = opened.value == baseline.ef_search
    text = f"{opened.value}, {baseline.ef_search} was frozen"
    lines.append(Line("ef_search", "pass" if same else "fail", text))
    n_empty = int((links_of_level_0(graph) == 0).sum())
    cut = n_empty > max(FEW_EMPTY, EMPTY_NODES * graph.ntotal)
    lines.append(Line("graph", "fail" if cut else "pass", f"{n_empty:,} nodes have no link"))
    changed = changed_share(opened, problem, vectors)
    text = f"{changed:.1%} of the vectors that were looked at are not those of the base"
    rows = prepared_rows(opened.ids, problem.base)
    n_lost = problem.base.n - len(np.unique(rows[rows >= 0]))
    if n_lost:
        text += f"; {n_lost:,} rows of the base are not in it"
    lines.append(Line("content", "fail" if changed > STALE or n_lost else "pass", text))
    return lines


@dataclass(frozen=True)
class ListBeside:
    """The list of copies beside an index, and what it is worth.

    Attributes:
        n_bytes: bytes of its file.
        line: whether it says which rows are equal.
    """

    n_bytes: int
    line: Line


def list_beside(index: Path, base: Base, vectors: Vectors) -> ListBeside:
    """Return what the list of copies beside an index says, against the rows that are equal.

    Raises:
        InputError: it is missing, damaged, or no such list.
    """
    path = index.with_name(COPIES_FILE)
    listed = read_copies(path)
    assert base.copies is not None  # noqa: S101 - the caller looked
    names = vectors.ids if vectors.ids is not None and fits_in_index(vectors.ids) else None
    wanted, listed = (each[np.lexsort(each.T[::-1])] for each in (base.copies.pairs(names), listed))
    faults: list[str] = []
    if not np.array_equal(wanted, listed):
        known, found = (set(map(tuple, each.tolist())) for each in (wanted, listed))
        counts = {
            "of its lines name a row that is no copy": len(found - known),
            "copies are not in it": len(known - found),
            "of its lines are repeated": len(listed) - len(found),
        }
        faults = [f"{count:,} {words}" for words, count in counts.items() if count]
    text = f"{COPIES_FILE} lists {len(listed):,} copies"
    text = f"{text}: {'; '.join(faults)}" if faults else f"{text}, as the rows have"
    return ListBeside(path.stat().st_size, Line("copies", "fail" if faults else "pass", text))


def differences(opened: IndexUnderTest, baseline: GateBaseline, problem: Problem) -> list[str]:
    """Return in words how an HNSW index differs from the frozen configuration."""
    graph, what = opened.graph, baseline.configuration
    assert graph is not None  # noqa: S101 - the caller looked
    found = [
        ("vectors", graph.ntotal, problem.base.n),
        ("links a node (M)", graph.hnsw.nb_neighbors(1), what.M),
        ("bytes a code", code_bytes(opened), baseline.code_bytes),
        ("metric", {"l2": "L2", "ip": "inner product"}[opened.metric], "L2"),
        ("re-ranking factor", round(opened.factor), what.rerank_factor),
    ]
    return [f"{name} {now}, {before} was frozen" for name, now, before in found if now != before]


def code_bytes(opened: IndexUnderTest) -> int:
    """Return the bytes of one vector's code, 0 without a graph."""
    return 0 if opened.graph is None else int(opened.storage.code_size)


def changed_share(opened: IndexUnderTest, problem: Problem, vectors: Vectors) -> float:
    """Return the share of sampled vectors in the index that are not those of the base."""
    base, rng = problem.base, np.random.default_rng(problem.options.seed)
    positions = np.sort(rng.choice(opened.n, min(opened.n, SAMPLE), replace=False))
    ids = opened.ids[positions]
    known = prepared_rows(ids, base) >= 0
    if not known.any():
        return 1.0
    x = vectors.rows(ids[known])
    if base.metric == "cosine":  # an index that does not normalise must hold normalised rows
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    stored = stored_codes(opened, base.radius)
    same = compare(stored, x, stored.at(positions[known])).same_code
    return float(((~same).sum() + (~known).sum()) / len(positions))
