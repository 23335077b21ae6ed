"""Rows that repeat another are one node, and a user gets all of them, as brute force over every row says."""

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import planted_rows, scores
from rich.console import Console

import tuner
from tuner.data.ids import named
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.gate import CheckOptions, CheckResult, check, read_baseline, save_baseline, write_baseline
from tuner.report import result_to_json, show_result
from tuner.runtime.steps import result_of
from tuner.sweep import sweep
from tuner.sweep.advice import collapse_hint
from tuner.types import Event, FloatArray, IdArray, Metric, Options, Space, StageFinished

N, GROUP, REPEATS, NQ, D, K = 3000, 700, 400, 300, 20, 10
SPACE = Space(M=(8,), codecs=("SQ8",), cuts=(1.0,), rerank_factors=(1,), ef_search_max=1024)
COPIES = "copies.npy"


@pytest.fixture(scope="module")
def x() -> FloatArray:
    """Return rows of which a third repeat another, one of them 700 times, and queries behind them."""
    x = planted_rows(N + NQ, D, 5)
    rng = np.random.default_rng(1)
    places = rng.permutation(N)
    x[places[:GROUP]] = x[places[0]]
    last = GROUP + REPEATS
    x[places[GROUP:last]] = x[rng.choice(places[last:], REPEATS)]
    return x


def tuned(x: FloatArray, folder: Path, **asked: Any) -> tuner.Result:
    asked = {"recall": 0.9, "space": SPACE, "threads": 1, "duplicates": "collapse", "out": folder, **asked}
    found = tuner.tune(x[:N], **asked)
    found.save(folder)
    return found


@pytest.fixture(scope="module")
def usual(x: FloatArray, tmp_path_factory: pytest.TempPathFactory) -> tuple[tuner.Result, Path]:
    """Return a run whose queries were held out and put back."""
    folder = tmp_path_factory.mktemp("usual")
    return tuned(x, folder), folder


def hits_of(metric: Metric, x: FloatArray, queries: FloatArray, rows: IdArray) -> IdArray:
    """Return right rows (nq,) of distinct rows (nq, K), by exact scores of every row of the file."""
    exact = scores(metric, x, queries)
    limit = np.sort(exact, axis=1)[:, -K]
    found = np.take_along_axis(exact, rows, axis=1)
    slack = 1e-5 * np.maximum(np.abs(limit), 1)
    assert all(len(set(each)) == K for each in rows.tolist())
    hits: IdArray = (found >= (limit - slack)[:, None]).sum(axis=1)
    return hits


@pytest.mark.parametrize(("metric", "kind"), [("ip", "numbers"), ("l2", "text")])
def test_recall_is_what_brute_force_over_all_rows_says(
    x: FloatArray, metric: Metric, kind: str, tmp_path: Path
) -> None:
    ids: Any = 50_000 - 3 * np.random.default_rng(2).permutation(N)
    ids = ids if kind == "numbers" else [f"doc-{number}" for number in ids]
    result = tuned(x, tmp_path, queries=x[N:], metric=metric, ids=ids)
    n_distinct = len(np.unique(x[:N], axis=0))
    assert result.collapsed is not None
    assert (result.collapsed.n_distinct, result.collapsed.n_copies) == (n_distinct, N - n_distinct)
    assert 1 < result.collapsed.distinct_per_query <= K
    assert result.index().ntotal == n_distinct
    distances, names = result.search(x[N:])
    assert distances.shape == names.shape == (NQ, K)
    row_of = {name: row for row, name in enumerate(np.asarray(ids).tolist())}
    rows = np.vectorize(row_of.__getitem__)(names)
    point = result.points[result.named["balanced"]]
    wanted = hits_of(metric, x[:N], x[N:], rows)
    assert np.abs(np.array(point.hits) - wanted).mean() < 0.01  # ties are rounded
    size = sum((tmp_path / name).stat().st_size for name in ("index.faiss", COPIES))
    assert result.best is not None
    assert result.best.memory_bytes == point.memory.resident_bytes == size
    assert result.best.memory_per_vector_bytes == size / N
    frozen, base = save_baseline(result), named(open_vectors(x[:N], "base"), ids)
    request = CheckOptions(index=tmp_path / "index.faiss", threads=1)
    checked = result_of(check(frozen, base, open_vectors(x[N:], "queries"), request, tmp_path))
    assert checked.passed, checked.lines
    assert checked.drop.n_changed == 0


def test_held_out_rows_come_back_as_nodes_or_as_copies(
    x: FloatArray, usual: tuple[tuner.Result, Path]
) -> None:
    result, folder = usual
    found, distinct = result.collapsed, len(np.unique(x[:N], axis=0))
    held_out = np.array(result.queries.held_out_rows)
    assert found is not None
    assert (found.n_distinct, found.n_copies) == (distinct, N - distinct)
    assert found.n_measured_on == len(np.unique(np.delete(x[:N], held_out, axis=0), axis=0)) < distinct
    assert result.whole is not None
    assert result.whole.n_added == len(held_out)
    listed = np.load(folder / COPIES)
    index = tuner.Result.load(folder).index()
    assert len(np.unique(listed[:, 1])) == found.n_copies
    assert (x[listed[:, 0]] == x[listed[:, 1]]).all()
    fresh = hits_of("cosine", x[:N], x[N:], result.search(x[N:])[1])
    assert fresh.mean() / K > 0.75  # a third of the queries were rows of the base, and easy
    # each held-out row finds itself or a row equal to it
    first = index.search(x[held_out], 1)[1][:, 0]
    assert (x[first] == x[held_out]).all(axis=1).mean() > 0.95


def test_the_whole_index_is_asked_for_the_rows_beside_the_query_itself(
    x: FloatArray, usual: tuple[tuner.Result, Path]
) -> None:
    result, _ = usual
    held_out = np.array(result.queries.held_out_rows)
    exact = scores("cosine", x[:N], x[held_out])
    exact[np.arange(len(held_out)), held_out] = -np.inf
    limit = np.sort(exact, axis=1)[:, -K]
    rows = result.search(x[held_out], K + 1)[1]
    hits = []
    for number, own in enumerate(held_out):
        mine = rows[number]
        equal = np.flatnonzero((x[mine] == x[own]).all(axis=1))
        # which of equal rows are given is all the same: one of them stands for the query
        kept = np.delete(mine, equal[-1:])[:K]
        kept = np.where(kept == own, mine[equal[-1]] if len(equal) else own, kept)
        hits.append(int((exact[number, kept] >= limit[number] - 1e-5).sum()))
    assert result.whole is not None
    assert np.abs(np.array(hits) - np.array(result.whole.hits)).mean() < 0.01


def test_the_report_says_what_was_collapsed_and_how_to_follow_it(
    x: FloatArray, usual: tuple[tuner.Result, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result, folder = usual
    for name in ("index.faiss", COPIES, "recommended.yaml"):
        shutil.copy(folder / name, tmp_path / name)
    np.save(tmp_path / "queries.npy", x[N:])
    monkeypatch.chdir(tmp_path)
    text = Path("recommended.yaml").read_text()
    lines = text.split("# Load and search")[1].splitlines()[1:]
    known: dict[str, Any] = {}
    exec("\n".join(line[4:] for line in lines if line.startswith("#   ")), known)  # noqa: S102 - our own lines
    distances, rows = result.search(x[N:])
    assert np.array_equal(known["ids"], rows)
    assert np.array_equal(known["distances"], distances)
    page = (folder / "report.md").read_text()
    assert result.collapsed is not None
    assert f"one node for each of {result.collapsed.n_distinct:,} distinct rows" in page
    assert "Recall counts rows" in page
    assert "duplicates: collapse" in text
    screen = Console(width=200, record=True, file=io.StringIO())
    show_result(result, screen)
    shown = screen.export_text()
    assert f"({result.collapsed.n_distinct:,} distinct rows)" in shown
    assert f"copies.npy beside the index lists {result.collapsed.n_copies:,} rows" in shown
    assert not any("--duplicates" in advice for advice in result.advice)


def test_nothing_is_collapsed_where_no_row_repeats_another(tmp_path: Path) -> None:
    x = planted_rows(300, D, 5)
    (tmp_path / COPIES).write_bytes(b"of an earlier run")
    result = tuner.tune(x, recall=0.9, duplicates="collapse", out=tmp_path, metric="l2", threads=1)
    assert result.collapsed is None
    assert result.copies() is None
    assert not (tmp_path / COPIES).exists()


def test_few_distinct_rows_are_searched_exactly_and_all_are_found(tmp_path: Path) -> None:
    x = np.repeat(planted_rows(7, D, 5), 200, axis=0)
    result = tuner.tune(x, recall=0.9, duplicates="collapse", out=tmp_path, metric="l2", threads=1)
    assert result.status == "exact"
    assert result.index().ntotal == 7
    rows = result.search(x[::200], 300)[1][:, :200]
    assert (np.sort(rows) == np.arange(1400).reshape(7, 200)).all()
    assert result.best is not None
    assert result.best.memory_bytes == sum(
        (tmp_path / name).stat().st_size for name in ("index.faiss", COPIES)
    )


def test_collapsing_is_advised_from_three_percent_on(usual: tuple[tuner.Result, Path]) -> None:
    profile = replace(usual[0].profile, n=1000, largest_duplicate_group=4)
    for n_copies, advised in ((29, False), (30, True)):
        hint = collapse_hint(Options(recall=0.9), replace(profile, n_duplicate_rows=n_copies))
        assert bool(hint) == advised
        assert collapse_hint(usual[0].options, replace(profile, n_duplicate_rows=n_copies)) is None
    assert hint is not None
    assert hint.startswith(
        "--duplicates collapse: 30 rows (3.0%) repeat another, and the largest group has 4;"
    )


def test_a_store_on_disk_is_refused_in_one_sentence(x: FloatArray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="duplicates is collapse and rerank_store is disk"):
        tuner.tune(x[:N], recall=0.9, duplicates="collapse", rerank_store="disk", out=tmp_path)


def stopped_after(stage: str, events: Any) -> None:
    for event in events:
        if isinstance(event, StageFinished) and event.name == stage:
            events.close()
            return


def test_a_stopped_run_goes_on(x: FloatArray, usual: tuple[tuner.Result, Path], tmp_path: Path) -> None:
    base = open_vectors(x[:N], "base")
    options = Options(recall=0.9, space=SPACE, threads=1, duplicates="collapse")
    work = tmp_path / "work"
    stopped_after("truth", sweep(base, None, options, tmp_path, work))
    seen: list[Event] = []
    events = sweep(base, None, options, tmp_path, work, resume=True)
    while True:
        try:
            seen.append(next(events))
        except StopIteration as ended:
            result = ended.value
            break
    resumed = {event.name for event in seen if isinstance(event, StageFinished) and event.resumed}
    assert {"profile", "groups", "truth"} <= resumed
    assert result.collapsed == usual[0].collapsed
    other = replace(options, duplicates="keep")
    with pytest.raises(InputError, match="of another run"):
        result_of(sweep(base, None, other, tmp_path, work, resume=True))


Checked = Callable[..., CheckResult]


@pytest.fixture
def checked(x: FloatArray, usual: tuple[tuner.Result, Path], tmp_path: Path) -> Checked:
    """Return a function that checks a copy of the delivered index, its list changed."""
    result, folder = usual
    for name in ("index.faiss", COPIES):
        shutil.copy(folder / name, tmp_path / name)
    write_baseline(save_baseline(result), tmp_path / "baseline.yaml")
    frozen = read_baseline(tmp_path / "baseline.yaml")

    def checks(*, built: bool = False, rows: FloatArray | None = None, **asked: Any) -> CheckResult:
        base = open_vectors(x[:N] if rows is None else rows, "base")
        request = CheckOptions(index=None if built else tmp_path / "index.faiss", threads=1, **asked)
        return result_of(check(frozen, base, None, request, tmp_path))

    return checks


@pytest.mark.parametrize("built", [False, True])
def test_a_check_of_the_same_index_and_list_passes(checked: Checked, built: bool) -> None:
    found = checked(built=built)
    assert found.passed, found.lines
    assert found.drop.n_changed <= (80 if built else 0)
    lines = {line.name: line for line in found.lines}
    assert ("copies" in lines) == (not built)
    assert "+0.0%" in lines["memory"].text or "-0.0%" in lines["memory"].text


@pytest.mark.parametrize("fault", ["wrong", "lost", "repeated"])
def test_a_check_is_red_where_the_list_is_wrong(checked: Checked, fault: str, tmp_path: Path) -> None:
    pairs = np.load(tmp_path / COPIES)
    if fault == "wrong":
        pairs[3, 1] = pairs[-1, 0]
    elif fault == "lost":
        pairs = pairs[1:]
    else:
        pairs = np.vstack([pairs[:1], pairs])
    np.save(tmp_path / COPIES, pairs)
    found = checked()
    line = next(line for line in found.lines if line.name == "copies")
    assert (found.passed, line.status) == (False, "fail")
    words = {"wrong": "1 of its lines name", "lost": "1 copies are not", "repeated": "1 of its lines are rep"}
    assert words[fault] in line.text
    assert "copies" in found.broken


def test_a_missing_or_damaged_list_cannot_be_judged(checked: Checked, tmp_path: Path) -> None:
    (tmp_path / COPIES).write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match=r"copies\.npy"):
        checked()
    (tmp_path / COPIES).unlink()
    with pytest.raises(InputError, match=r"copies\.npy: is missing"):
        checked()


def test_a_point_whose_index_was_not_handed_over_can_be_frozen(
    x: FloatArray, usual: tuple[tuner.Result, Path], tmp_path: Path
) -> None:
    result = replace(usual[0], whole=None)
    frozen = save_baseline(result)
    assert result.collapsed is not None
    assert frozen.n_indexed == result.collapsed.n_measured_on
    found = result_of(check(frozen, open_vectors(x[:N], "base"), None, CheckOptions(threads=1), tmp_path))
    assert found.passed, found.lines


def test_more_rows_are_built_from_the_report(x: FloatArray, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNER_CACHE_DIR", str(tmp_path / "cache"))
        first = tuner.tune(x[: N - 400], recall=0.9, space=SPACE, threads=1, duplicates="collapse")
        (tmp_path / "report.json").write_bytes(result_to_json(first))
        result = tuner.build(tmp_path / "report.json", x[:N], threads=1, out=tmp_path)
    assert result.status == "reached"
    distinct = len(np.unique(x[:N], axis=0))
    assert result.collapsed is not None
    assert (result.collapsed.n_distinct, result.collapsed.n_copies) == (distinct, N - distinct)
    assert result.cost.n_graph_builds == 0  # the graph of the cache took the new nodes
    assert hits_of("cosine", x[:N], x[N:], result.search(x[N:])[1]).mean() / K > 0.75
