"""A run whose rows have ids of the user's own: the index handed over answers with them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import planted_rows

import tuner
from tuner.cli.main import tune
from tuner.data.ids import IdSource, named
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.gate import CheckOptions, check, save_baseline
from tuner.runtime.steps import result_of
from tuner.sweep.prepare import identity
from tuner.types import FloatArray, Options, Space

N, D, K, FRESH = 2400, 24, 10, 200
DELETED = np.array([0, 7, 1500, 2399])
SPACE = Space(M=(6, 12), codecs=("SQ8",), cuts=(1.0,), rerank_factors=(1,), ef_search_max=1024)
FEW = 300


@pytest.fixture(scope="module")
def rows() -> FloatArray:
    return planted_rows(N + FRESH, D, 5)


def numbers(n: int) -> np.ndarray:
    ids = 10_000 + 3 * np.random.default_rng(1).permutation(n)
    ids[DELETED[n > DELETED]] = -1
    return ids


def texts(n: int) -> list[str]:
    return ["" if i in DELETED else f"doc-{i}" for i in range(n)]


def tuned(rows: FloatArray, ids: IdSource | None, out: Path, **asked: Any) -> tuner.Result:
    asked = {"recall": 0.9, "metric": "l2", "space": SPACE, "threads": 1, **asked}
    return tuner.tune(rows, ids=ids, out=out, **asked)


def true_rows(rows: FloatArray, queries: FloatArray) -> np.ndarray:
    """Rows (nq, K) of the nearest that are not deleted."""
    far = ((queries[:, None] - rows[None]) ** 2).sum(2)
    far[:, DELETED[len(rows) > DELETED]] = np.inf
    return np.argsort(far, axis=1)[:, :K]


def share_found(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(
        np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), wanted.tolist(), strict=True)])
    )


@pytest.mark.parametrize("n", [FEW, N])
@pytest.mark.parametrize("given", [False, True])
def test_whole_numbers_are_what_the_index_answers_with(
    rows: FloatArray, n: int, given: bool, tmp_path: Path
) -> None:
    ids, fresh = numbers(n), rows[N:]
    asked = {"queries": fresh} if given else {}
    found = tuned(rows[:n], ids, tmp_path, **asked)
    assert found.status == ("exact" if n == FEW else "reached")
    gone = int((ids == -1).sum())
    assert found.own_ids is not None
    assert (found.own_ids.n_deleted, found.own_ids.in_index) == (gone, True)
    assert found.profile.n == n - gone
    assert found.index().ntotal == n - gone
    assert found.ids() is None
    assert not (tmp_path / "index.ids.npy").exists()
    answers = found.index().search(fresh, K)[1]
    assert not (answers == -1).any()
    assert share_found(answers, ids[true_rows(rows[:n], fresh)]) >= 0.85
    best = found.best
    assert best is not None
    assert best.memory_bytes == (tmp_path / "index.faiss").stat().st_size
    found.save(tmp_path / "saved")
    head = (tmp_path / "saved" / "recommended.yaml").read_text().replace("#", " ").split()
    assert f"ids from the list of ids, {gone} deleted rows left out." in " ".join(head)
    assert "the index answers with them" in (tmp_path / "saved" / "report.md").read_text()


@pytest.mark.parametrize("n", [FEW, N])
def test_text_lies_beside_an_index_that_answers_with_rows(rows: FloatArray, n: int, tmp_path: Path) -> None:
    ids, fresh = texts(n), rows[N:]
    found = tuned(rows[:n], ids, tmp_path / "out")
    assert found.own_ids is not None
    assert not found.own_ids.in_index
    found.save(tmp_path / "saved")
    loaded = tuner.Result.load(tmp_path / "saved")
    for each in (found, loaded):
        names = each.ids()
        assert names is not None
        answers = names[each.index().search(fresh, K)[1]]
        wanted = np.array(ids)[true_rows(rows[:n], fresh)]
        assert share_found(answers, wanted) >= 0.85
    assert 'ids = np.load("index.ids.npy")[ids]' in (tmp_path / "saved" / "recommended.yaml").read_text()
    plain = tuned(rows[:n], None, tmp_path / "out")
    plain.save(tmp_path / "saved")
    for folder in ("out", "saved"):
        assert not (tmp_path / folder / "index.ids.npy").exists()
    with pytest.raises(InputError, match=r"index\.ids\.npy: the index that was delivered is gone"):
        loaded.ids()


def test_a_store_on_disk_has_its_ids_beside_it(rows: FloatArray, tmp_path: Path) -> None:
    ids, fresh = numbers(N), rows[N:]
    space = Space(M=(12,), codecs=("SQ4",), cuts=(1.0,), rerank_stores=("fp32",), rerank_factors=(4,))
    found = tuned(rows[:N], ids, tmp_path, rerank_store="disk", space=space)
    assert found.best is not None
    assert found.best.rerank_at == "disk"
    names = found.ids()
    assert names is not None
    answers = names[found.index().search(fresh, K)[1]]
    assert share_found(answers, ids[true_rows(rows[:N], fresh)]) >= 0.85


@pytest.mark.parametrize("ids", [numbers(N), texts(N)], ids=["numbers", "text"])
def test_the_gate_takes_the_same_ids(rows: FloatArray, ids: IdSource, tmp_path: Path) -> None:
    found = tuned(rows[:N], ids, tmp_path)
    baseline = save_baseline(found)
    base = named(open_vectors(rows[:N], "base"), ids)
    for index in (None, tmp_path / "index.faiss"):
        request = CheckOptions(index=index, threads=1)
        work = tmp_path / f"work-{index is None}"
        work.mkdir()
        result = result_of(check(baseline, base, None, request, work))
        assert result.passed, result.lines
    job = check(baseline, open_vectors(rows[:N], "base"), None, CheckOptions(threads=1), tmp_path)
    with pytest.raises(InputError, match=r"different data|the baseline has"):
        result_of(job)


@pytest.mark.usefixtures("few_rounds", "one_rebuilt_graph")
@pytest.mark.parametrize("ids", [numbers(N), texts(N)], ids=["numbers", "text"])
def test_the_index_handed_over_is_diagnosed_with_its_ids(
    rows: FloatArray, ids: IdSource, tmp_path: Path
) -> None:
    index = tuned(rows[:N], ids, tmp_path).index()
    found = tuner.diagnose(index, rows[:N], rows[N:], ids=ids, recall=0.85, metric="l2", threads=1)
    assert found.healthy
    assert {cause.name for cause in found.causes}.isdisjoint({"missing rows", "metric"})


def test_a_resumed_run_has_the_same_ids(rows: FloatArray) -> None:
    seen = {
        identity(named(open_vectors(rows[:N], "base"), ids), None, Options(recall=0.9))["ids"]
        for ids in (None, numbers(N), texts(N), numbers(N)[::-1].copy())
    }
    assert len(seen) == 4


def test_the_command_line_and_the_lines_of_the_recommendation(
    rows: FloatArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", rows[:FEW])
    np.save("queries.npy", rows[N:])
    Path("keys.txt").write_text("\n".join(texts(FEW)) + "\n")
    words = ["run", "x.npy", "--recall", "0.9", "--ids", "keys.txt", "--out", "out", "--metric", "l2"]
    ran = CliRunner().invoke(tune, words, standalone_mode=False)
    assert ran.return_value == 0, ran.output
    text = Path("out", "recommended.yaml").read_text()
    assert "ids from keys.txt, 2 deleted rows left out" in " ".join(text.replace("#", " ").split())
    lines = text.split("# Load and search")[1].splitlines()[1:]
    program = [line.removeprefix("#   ") for line in lines if line.startswith("#   ")]
    shutil.copy("queries.npy", "out")
    monkeypatch.chdir(tmp_path / "out")
    known: dict[str, Any] = {}
    exec("\n".join(program), known)  # noqa: S102 - our own lines
    wanted = np.array(texts(FEW))[true_rows(rows[:FEW], rows[N:])]
    assert share_found(known["ids"], wanted) > 0.999
