"""Other data than the baseline's are no regression and no pass: they are refused, or meant."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import planted_rows
from gated import D, Gate, Run

from benchmarks.gate.faults import FAULTS
from tuner.errors import InputError
from tuner.gate import (
    read_baseline,
    write_baseline,
)
from tuner.types import FloatArray


def test_other_vectors_cannot_be_judged_unless_they_are_meant(gate: Gate, tmp_path: Path, run: Run) -> None:
    again = gate.x + np.random.default_rng(5).normal(0, 0.01, gate.x.shape).astype(np.float32)
    np.save(tmp_path / "again.npy", again)
    arguments = [str(gate.folder / "baseline.yaml"), str(tmp_path / "again.npy"), *gate.files[1:]]
    code, _, message = run("check", *arguments)
    assert code == 2
    assert "other vectors than the baseline's" in message
    assert "--new-data" in message
    code, out, _ = run("check", *arguments, "--new-data", "--threads", "1")
    assert code == 0, out
    assert "exact neighbours were found anew" in " ".join(out.split())


def test_a_new_model_may_have_other_columns(gate: Gate, tmp_path: Path, run: Run) -> None:
    rotation = np.linalg.qr(np.random.default_rng(6).normal(size=(48, D)))[0].astype(np.float32)
    np.save(tmp_path / "base.npy", gate.x @ rotation.T)
    queries = np.load(gate.folder / "queries.npy") @ rotation.T
    np.save(tmp_path / "queries.npy", queries)
    code, out, message = run(
        "check",
        str(gate.folder / "baseline.yaml"),
        str(tmp_path / "base.npy"),
        *("--queries", str(tmp_path / "queries.npy"), "--new-data", "--threads", "1"),
    )
    assert code == 0, out + message
    assert "5,000 x 48, they were 5,000 x 32" in " ".join(out.split())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda queries: queries[:-1], "799 queries, the baseline has 800"),
        (lambda queries: queries[::-1], "other queries than the baseline's"),
    ],
)
def test_other_queries_cannot_be_judged(
    gate: Gate, tmp_path: Path, change: Callable[[FloatArray], FloatArray], sentence: str, run: Run
) -> None:
    np.save(tmp_path / "queries.npy", change(np.load(gate.folder / "queries.npy")))
    code, _, message = run(
        "check",
        str(gate.folder / "baseline.yaml"),
        gate.files[0],
        "--queries",
        str(tmp_path / "queries.npy"),
    )
    assert code == 2
    assert sentence in message


def test_the_queries_must_come_from_where_they_came(gate: Gate, run: Run) -> None:
    code, _, message = run("check", str(gate.folder / "baseline.yaml"), gate.files[0])
    assert code == 2
    assert "give the same one with --queries" in message


def test_an_update_on_other_data_is_a_baseline_that_passes(gate: Gate, tmp_path: Path, run: Run) -> None:
    """More rows, and other columns: what was frozen of the old ones must not stay."""
    rng = np.random.default_rng(7)
    rotation = np.linalg.qr(rng.normal(size=(48, D)))[0].astype(np.float32)
    queries = np.load(gate.folder / "queries.npy")
    more = np.concatenate([gate.x, planted_rows(100, D, 8)])
    for name, base, asked in (("more", more, queries), ("wider", gate.x @ rotation.T, queries @ rotation.T)):
        folder = tmp_path / name
        folder.mkdir()
        write_baseline(gate.frozen, folder / "baseline.yaml")
        np.save(folder / "base.npy", base)
        np.save(folder / "queries.npy", asked)
        files = [str(folder / name) for name in ("baseline.yaml", "base.npy", "queries.npy")]
        arguments = ["check", *files[:2], "--queries", files[2], "--threads", "1"]
        code, out, message = run(*arguments, "--new-data", "--update")
        assert code == 0, out + message
        code, out, message = run(*arguments)
        assert code == 0, out + message
        frozen = read_baseline(folder / "baseline.yaml")
        assert frozen.data.n == len(base)
        assert frozen.configuration.dims == base.shape[1]
        assert frozen.code_bytes == base.shape[1]


@pytest.mark.parametrize("fault", ["brute force", "a codec with fewer bits", "a stale index"])
def test_an_update_takes_no_other_index(gate: Gate, tmp_path: Path, fault: str, run: Run) -> None:
    damaged = tmp_path / "damaged.faiss"
    FAULTS[fault](gate.index, gate.x, damaged)
    write_baseline(gate.frozen, tmp_path / "baseline.yaml")
    before = (tmp_path / "baseline.yaml").read_bytes()
    arguments = ("check", str(tmp_path / "baseline.yaml"), *gate.files, "--index", str(damaged), "--update")
    code, _, message = run(*arguments)
    assert code == 2
    assert "--update accepts figures, not another index" in message
    assert (tmp_path / "baseline.yaml").read_bytes() == before


def test_queries_that_are_drawn_otherwise_are_refused(gate: Gate) -> None:
    queries = replace(gate.frozen.queries, drawn="0123456789abcdef")
    with pytest.raises(InputError, match="drawn otherwise"):
        gate.check(replace(gate.frozen, queries=queries))
