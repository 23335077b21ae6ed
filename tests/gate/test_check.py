"""The recall gate from end to end: it passes what did not change, and every planted fault is caught."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import planted_rows
from gated import SPACE, D, Gate, K, Run, statuses

import tuner
from benchmarks.gate.faults import FAULTS
from tuner.data.vectors import open_vectors
from tuner.gate import (
    CheckOptions,
    Limits,
    check,
    read_baseline,
    save_baseline,
    write_baseline,
)
from tuner.gate.verdict import growth_line
from tuner.report import result_to_json
from tuner.runtime.steps import result_of
from tuner.types import FloatArray


def test_an_unchanged_index_gives_the_same_hits_and_passes(gate: Gate) -> None:
    found = gate.check()
    assert found.passed
    assert found.hits == gate.frozen.hits
    assert found.drop.mean == found.drop.lower == found.drop.n_changed == 0
    assert found.ndis_per_query == pytest.approx(gate.frozen.ndis_per_query, rel=1e-5)
    assert found.index_bytes == gate.frozen.bytes["total"]
    assert set(statuses(found).values()) <= {"pass", "info", "warn"}
    assert {"configuration", "graph", "content", "index used", "recall", "target"} <= statuses(found).keys()


def test_a_rebuilt_index_passes(gate: Gate) -> None:
    found = gate.check(index=None)
    assert found.passed, [line.text for line in found.lines]
    assert "configuration" not in statuses(found)
    assert abs(found.drop.mean) < 0.01


def test_a_single_bad_query_more_is_no_regression(gate: Gate) -> None:
    better = list(gate.frozen.hits)
    place = better.index(min(better))
    better[place] = K
    frozen = replace(gate.frozen, hits=tuple(better), measured_recall=sum(better) / len(better) / K)
    assert gate.check(frozen).passed


CAUGHT_BY = {
    "ef lowered by a third": {"ef_search", "recall"},
    "a codec with fewer bits": {"configuration"},
    "2 % of the vectors missing": {"configuration", "recall"},
    "links of 3 % of the nodes cut": {"graph"},
    "a wrong metric": {"content", "recall"},
    "shuffled ids": {"content", "recall", "target"},
    "a stale index": {"content", "recall"},
    "brute force": {"index used"},
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_planted_fault_is_caught(gate: Gate, name: str, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.faiss"
    FAULTS[name](gate.index, gate.x, damaged)
    found = gate.check(index=damaged)
    failed = {line for line, status in statuses(found).items() if status == "fail"}
    assert not found.passed
    assert CAUGHT_BY[name] <= failed, [f"{line.name}: {line.text}" for line in found.lines]


def test_recall_alone_sees_an_ef_lowered_by_a_third(gate: Gate) -> None:
    """The configuration line is not what catches it: the same ef_search asked for, as a service does."""
    lowered = round(gate.frozen.ef_search * 2 / 3)
    found = gate.check(ef_search=max(1, lowered))
    assert statuses(found)["recall"] == "fail"


def test_what_costs_more_fails_by_the_limits(gate: Gate) -> None:
    found = gate.check(ef_search=3 * gate.frozen.ef_search)
    assert statuses(found)["ndis"] == "fail"
    assert statuses(found)["recall"] == "pass"
    lenient = gate.check(ef_search=3 * gate.frozen.ef_search, limits=Limits(ndis=9.0))
    assert statuses(lenient)["ndis"] == "pass"
    assert growth_line("memory", 106, 100, 0.05, "bytes").status == "fail"
    assert growth_line("memory", 105, 100, 0.05, "bytes").status == "pass"


def test_held_out_rows_are_held_out_again(tmp_path: Path, run: Run) -> None:
    x = planted_rows(3000, D, 4)
    np.save(tmp_path / "base.npy", x)
    result = tuner.tune(x, recall=0.8, out=tmp_path, space=SPACE, threads=1)
    (tmp_path / "report.json").write_bytes(result_to_json(result))
    code, out, message = run("baseline", str(tmp_path), "-o", str(tmp_path / "b.yaml"))
    assert code == 0, message
    assert result.recommendation is not None
    printed = " ".join((out + message).split())
    promised = f"{result.recommendation.recall:.4f}"
    assert f"more easily than new ones: for those the report says {promised}; tune check" in printed
    arguments = ("check", str(tmp_path / "b.yaml"), str(tmp_path / "base.npy"), "--threads", "1")
    code, out, message = run(*arguments, "--index", str(tmp_path / "index.faiss"))
    assert code == 0, out + message
    assert "finds as many as before" in " ".join(out.split())
    assert run(*arguments)[0] == 0
    code, _, message = run(*arguments, "--queries", str(tmp_path / "base.npy"))
    assert code == 2
    assert "leave --queries out" in message


def gate_of(folder: Path, x: FloatArray, queries: FloatArray | None, **asked: Any) -> Gate:
    np.save(folder / "base.npy", x)
    if queries is not None:
        np.save(folder / "queries.npy", queries)
    result = tuner.tune(x, recall=0.7, queries=queries, out=folder, threads=1, **asked)
    assert result.status == "reached"
    write_baseline(save_baseline(result), folder / "baseline.yaml")
    return Gate(folder, x, read_baseline(folder / "baseline.yaml"))


PCA = replace(SPACE, cuts=(0.5,), cut_kinds=("pca",), rerank_stores=("fp16",), rerank_factors=(1, 4))


COARSE = replace(SPACE, codecs=("SQ4",), rerank_stores=("fp16",), rerank_factors=(4,))


SHAPES = {
    "cosine": {"metric": "cosine", "space": SPACE},
    "ip": {"metric": "ip", "space": SPACE},
    "l2": {"metric": "l2", "space": SPACE},
    "float32": {"metric": "l2", "space": replace(SPACE, codecs=("fp32",))},
    "PQ": {"metric": "l2", "space": replace(SPACE, codecs=("PQ16x8",), rerank_factors=(1, 4))},
    "RaBitQ": {"metric": "cosine", "space": replace(SPACE, codecs=("RaBitQ4",))},
    "PCA": {"metric": "cosine", "space": PCA},
    "re-ranked": {"metric": "cosine", "space": COARSE},
    "re-ranked from disk": {"metric": "l2", "space": COARSE, "rerank_store": "disk"},
}


@pytest.mark.parametrize(
    ("shape", "held_out"),
    [(shape, True) for shape in SHAPES] + [(shape, False) for shape in ("cosine", "ip", "PCA")],
)
def test_an_unchanged_index_of_every_shape_passes(tmp_path: Path, shape: str, held_out: bool) -> None:
    x = planted_rows(2400, D, 21)
    base, queries = (x, None) if held_out else (x[:2100], x[2100:])
    one = gate_of(tmp_path, base, queries, **SHAPES[shape])
    found = result_of(
        check(
            one.frozen,
            open_vectors(tmp_path / "base.npy", "base"),
            None if held_out else open_vectors(tmp_path / "queries.npy", "queries"),
            CheckOptions(index=one.index, threads=1),
            tmp_path / "check-work",
        )
    )
    assert found.passed, [f"{line.name}: {line.text}" for line in found.lines]
    assert found.hits == one.frozen.hits
    assert found.index_bytes == one.frozen.bytes["total"]
    assert {"configuration", "ef_search", "graph", "index used"} <= statuses(found).keys()
    other = np.load(one.index.with_name("base.npy"))[::-1].copy()
    np.save(tmp_path / "base.npy", other)
    stale = result_of(
        check(
            one.frozen,
            open_vectors(tmp_path / "base.npy", "base"),
            None if held_out else open_vectors(tmp_path / "queries.npy", "queries"),
            CheckOptions(index=one.index, threads=1, new_data=True),
            tmp_path / "check-work",
        )
    )
    failed = {name for name, status in statuses(stale).items() if status == "fail"}
    assert {"content", "recall"} <= failed, [f"{line.name}: {line.text}" for line in stale.lines]
