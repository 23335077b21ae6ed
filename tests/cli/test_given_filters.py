"""Filters on the command line and in the library: what goes together, what is shown before a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import planted_rows
from gated import Run
from scipy import sparse

import tuner
from tuner.api import jobs
from tuner.cli import run as run_command
from tuner.data.checks import check_options
from tuner.recall.allowed import GivenFilters
from tuner.types import Options

N, D, NQ = 1200, 16, 60
X, Q = planted_rows(N, D, 7), planted_rows(NQ, D, 8)
LABELS = np.array(["a", "b", "c", "c"])[np.arange(N) % 4]
NO_ROWS = np.zeros(0, dtype=np.int64)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, values in (("x", X), ("q", Q), ("labels", LABELS), ("asked", LABELS[:NQ])):
        np.save(f"{name}.npy", values)
    np.save("unknown.npy", np.where(np.arange(NQ) % 20 == 3, "z", LABELS[:NQ]))
    np.save("none.npy", np.where(np.arange(N) == 7, "", LABELS))
    sparse.save_npz("f.npz", sparse.csr_array(np.arange(N) % np.arange(2, NQ + 2)[:, None] == 0))
    sparse.save_npz("empty.npz", sparse.csr_array(np.arange(N) < np.arange(NQ)[:, None]))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--labels labels.npy --where a", "--labels and --where each say what is allowed: leave one"),
        ("--labels labels.npy --filters f.npz", "--labels and --filters each say what is allowed"),
        ("--filters f.npz --selectivity 10%", "--filters and --selectivity each say what is allowed"),
        ("--query-labels asked.npy", "--query-labels is for --labels"),
        ("--labels labels.npy --query-labels asked.npy", "--query-labels is for queries of your own"),
        ("--labels labels.npy --queries q.npy", "give that with --query-labels"),
        ("--labels asked.npy", "asked.npy has labels of 60 rows and x.npy has 1,200 rows"),
        (
            "--labels labels.npy --queries q.npy --query-labels unknown.npy",
            r"unknown.npy: query 3 asks for 'z', and no row of labels.npy has this label \(3 queries of 60",
        ),
        ("--labels none.npy", r"none.npy: row 7 has no label \(1 row of 1,200 have none\)"),
        ("--labels kind", "--labels 'kind' is no file, and x.npy has no named columns"),
        ("--filters f.npz", "give the queries with --queries"),
        ("--filters empty.npz --queries q.npy", "filter of query 0 allows no row of x.npy .1 query of 60"),
        ("--filters labels.npy --queries q.npy", "labels.npy is a .npy file and no sparse matrix"),
        ("--where a>3", "--where cannot be asked of x.npy"),
        ("--selectivity 50", r"selectivity is 50, but a filter allows a share of the rows in \(0, 1\)"),
        ("--selectivity 0%", "selectivity is 0, but"),
        ("--selectivity 5%,5%", "selectivity is 0.05, 0.05, but its shares differ"),
        ("--selectivity 9%,8%,7%,6%,5%,4%,3%,2%,1%", "has 9 shares, and at most 8 are tried"),
        ("--selectivity few", "'few' is no list of shares: write 50%,10%,2%,0.5%"),
        ("--labels labels.npy --duplicates collapse", "--duplicates collapse is not for filtered search"),
        ("--labels labels.npy --target hnswlib", "--labels and --target exclude each other"),
        ("--selectivity 10% --target hnswlib", "--selectivity and --target exclude each other"),
    ],
)
def test_what_does_not_fit_is_one_sentence(folder: Path, arguments: str, sentence: str, run: Run) -> None:
    before = set(folder.rglob("*"))
    code, _, message = run("--recall", "0.9", "--dry-run", "x.npy", *arguments.split())
    assert code == 2
    assert re.search(sentence, message), message
    assert "Traceback" not in message
    assert set(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--labels labels.npy --shards 2 --queries q.npy", "--labels is not for shards"),
        ("--filters f.npz --shards 2 --queries q.npy", "--filters is not for shards"),
        ("--where a --ray local --queries q.npy", "--where is not for shards"),
        ("--selectivity 10% --shards 2 --queries q.npy", "--selectivity is not for shards"),
    ],
)
def test_shards_have_no_filters(folder: Path, arguments: str, sentence: str, run: Run) -> None:
    code, _, message = run("--recall", "0.9", "x.npy", *arguments.split())
    assert (code, sentence in message) == (2, True), message


@pytest.mark.parametrize("option", ["--labels", "--query-labels", "--filters", "--where", "--selectivity"])
def test_an_earlier_report_has_no_filters(folder: Path, option: str, run: Run) -> None:
    code, _, message = run("run", "x.npy", "--since", "report.json", option, "10%")
    assert code == 2
    assert f"--since takes its options from the report: leave {option} out" in message


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--labels labels.npy", "3 filters of .* queries, by labels.npy: they allow 25% to 50% of the rows"),
        (
            "--labels labels.npy --query-labels asked.npy --queries q.npy",
            "3 filters of 60 queries, by asked.npy: they allow 25% to 50% of the rows, half .* 37.5% or less",
        ),
        ("--filters f.npz --queries q.npy", "60 filters of 60 queries, by f.npz: they allow 1.67% to 50%"),
    ],
)
def test_a_dry_run_reads_filters_and_describes_them(
    folder: Path, arguments: str, sentence: str, run: Run
) -> None:
    code, _, message = run("--recall", "0.8", "--dry-run", "x.npy", *arguments.split())
    assert code == 0, message
    assert re.search(sentence, message), message


Started = list[tuple[Options, GivenFilters | None]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What sweeps are started with, none of which is run."""
    found: Started = []

    def start(*given: Any, filters: GivenFilters | None = None, **_: Any) -> Any:
        found.append((given[2], filters))
        raise tuner.InputError("started")

    monkeypatch.setattr(jobs, "sweep_or_sample", start)
    monkeypatch.setattr(run_command, "sweep_or_sample", start)
    return found


def test_the_library_takes_the_same_as_the_command(folder: Path, started: Started, run: Run) -> None:
    matrix = sparse.load_npz("f.npz")
    pairs: list[tuple[str, dict[str, Any]]] = [
        ("--labels labels.npy", {"labels": LABELS.tolist()}),
        (
            "--labels labels.npy --query-labels asked.npy --queries q.npy",
            {"labels": [[each] for each in LABELS], "query_labels": LABELS[:NQ], "queries": Q},
        ),
        ("--filters f.npz --queries q.npy", {"filters": matrix, "queries": Q}),
        ("--selectivity 2%,10%", {"selectivity": (0.1, 0.02)}),
        ("", {}),
    ]
    for arguments, keywords in pairs:
        started.clear()
        code, _, message = run("--recall", "0.9", "x.npy", *arguments.split())
        assert (code, "started" in message) == (2, True), message
        with pytest.raises(tuner.InputError, match="started"):
            tuner.tune(X, recall=0.9, **keywords)
        (options, one), (other_options, other) = started
        assert options.selectivity == other_options.selectivity == keywords.get("selectivity", ())
        assert (one is None) == (other is None) == (arguments in ("", "--selectivity 2%,10%"))
        if one is not None and other is not None:
            assert one.fingerprint == other.fingerprint
            held_out = NO_ROWS if "queries" in keywords else np.arange(9)
            np.testing.assert_array_equal(one.filters(held_out).bits, other.filters(held_out).bits)


def test_the_library_refuses_what_the_command_does() -> None:
    with pytest.raises(tuner.InputError, match="--labels and --where each say"):
        tuner.tune(X, recall=0.9, labels=LABELS, where="a > 3")
    with pytest.raises(tuner.InputError, match="where is 3, but it is text or None"):
        tuner.tune(X, recall=0.9, where=3)  # type: ignore[arg-type]
    with pytest.raises(tuner.InputError, match=r"selectivity is 0\.02, 0\.1, but its shares differ"):
        check_options(Options(recall=0.9, selectivity=(0.02, 0.1)))
