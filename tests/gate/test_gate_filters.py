"""Bands of filters, frozen and checked: what is unchanged passes, and each planted fault is red."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import yaml
from conftest import planted_rows
from gated import Run

import tuner
from tuner.api.result import read_report
from tuner.data.filters import FiltersAsked, open_filters
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.gate import CheckOptions, Line, read_baseline, save_baseline, write_baseline
from tuner.gate.bands import check_filters_given, checked_bands
from tuner.gate.frozen_filters import reason_not_frozen
from tuner.gate.rebuild import options_of
from tuner.index.inputs import open_inputs
from tuner.index.opened import IndexUnderTest, open_faiss, with_ids
from tuner.recall.allowed import GivenFilters
from tuner.report import result_to_json
from tuner.runtime.journal import Journal
from tuner.runtime.steps import result_of
from tuner.search import RECOMMENDED, FilteredIndex
from tuner.sweep.filters import run as filters_run
from tuner.sweep.filters.bands import made_up_bands
from tuner.sweep.filters.costs import FilterCosts
from tuner.sweep.pose import PosedProblem, pose
from tuner.types import FloatArray, FrozenBand, FrozenFilters, GateBaseline, IdArray, Space

N, NQ, D = 4000, 500, 24
SPACE = Space(M=(8,), codecs=("SQ8",), cuts=(1.0,), rerank_factors=(1,), ef_search_max=1024)
COSTS = FilterCosts(graph_s=(20e-6, 1e-6), scan_s=(10e-6, 60e-9))


@pytest.fixture(scope="module")
def x() -> FloatArray:
    return planted_rows(N + NQ, D, 11)


@pytest.fixture(scope="module")
def labels(x: FloatArray) -> tuple[IdArray, IdArray]:
    """Labels of rows and queries: one half each, and one row in twenty instead."""
    side = (x @ np.linspace(-1, 1, D) > 0).astype(int)
    both = np.where(np.arange(N + NQ) % 20 == 0, 2, side)
    asked = np.where(np.arange(NQ) % 3 == 0, 2, both[N:])
    return both[:N], asked


def frozen_run(x: FloatArray, out: Path, **asked: Any) -> GateBaseline:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters_run, "time_costs", lambda problem, index, ef_search: COSTS)
        result = tuner.tune(x[:N], recall=0.9, queries=x[N:], space=SPACE, threads=1, out=out, **asked)
    result.save(out)
    (out / "report.json").write_bytes(result_to_json(result))
    np.save(out / "base.npy", x[:N])
    np.save(out / "queries.npy", x[N:])
    write_baseline(save_baseline(result), out / "baseline.yaml")
    return read_baseline(out / "baseline.yaml")


@pytest.fixture(scope="module")
def given(
    x: FloatArray, labels: tuple[IdArray, IdArray], tmp_path_factory: pytest.TempPathFactory
) -> tuple[GateBaseline, Path]:
    out = tmp_path_factory.mktemp("given")
    np.save(out / "labels.npy", labels[0])
    np.save(out / "asked.npy", labels[1])
    return frozen_run(x, out, labels=labels[0], query_labels=labels[1]), out


@dataclass(frozen=True)
class Posed:
    """The run with filters by labels, opened to be checked."""

    frozen: GateBaseline
    folder: Path
    posed: PosedProblem
    opened: IndexUnderTest
    filters: GivenFilters

    def check(self, *, at: Path | None = None, **changes: Any) -> tuple[tuple[Line, ...], FrozenFilters]:
        """Return the lines of the bands, and the bands, with the policy in a folder."""
        frozen = changes.pop("frozen", self.frozen.filters)
        request = CheckOptions(index=(at or self.folder) / "index.faiss", **changes.pop("request", {}))
        given = {"posed": self.posed, "opened": self.opened, "given": self.filters, **changes}
        return result_of(checked_bands(baseline=self.frozen, frozen=frozen, request=request, **given))


@pytest.fixture(scope="module")
def opened(given: tuple[GateBaseline, Path], tmp_path_factory: pytest.TempPathFactory) -> Posed:
    frozen, folder = given
    base, queries = open_inputs(folder / "base.npy", folder / "queries.npy")
    work = tmp_path_factory.mktemp("work")
    posed = result_of(pose(Journal(work, {}, resume=False), base, queries, options_of(frozen, 1), work))
    asked = FiltersAsked(labels=folder / "labels.npy", query_labels=folder / "asked.npy")
    filters = open_filters(asked, (base, queries), (folder / "base.npy", folder / "queries.npy"))
    assert filters is not None
    return Posed(frozen, folder, posed, open_faiss(folder / "index.faiss", D), filters)


def failed(lines: tuple[Line, ...]) -> list[str]:
    return [line.name for line in lines if line.status == "fail"]


def with_policy(found: Posed, folder: Path, **changes: Any) -> Path:
    """Write another policy to a folder: ef_search of its bands, or what is scanned; return the folder."""
    written = yaml.safe_load((found.folder / RECOMMENDED).read_text())
    for band in written["filters"]["bands"]:
        if band["ef_search"] is not None:
            band["ef_search"] = changes.get("ef_search", band["ef_search"])
    written["filters"]["scan_below_rows"] = changes.get("below", written["filters"]["scan_below_rows"])
    (folder / RECOMMENDED).write_text(yaml.safe_dump(written))
    return folder


def test_an_unchanged_policy_gives_the_same_hits(opened: Posed) -> None:
    frozen = opened.frozen.filters
    assert frozen is not None
    assert [band.ef_search is None for band in frozen.bands] == [False, True]
    assert sum(len(band.hits) for band in frozen.bands) == NQ
    lines, now = opened.check()
    assert [line.status for line in lines] == ["pass"] * 3
    assert lines[0].name == "filter policy"
    assert all("finds as many as before" in line.text for line in lines[1:])
    assert [band.hits for band in now.bands] == [band.hits for band in frozen.bands]
    lines, _ = opened.check(at=opened.folder / "nowhere")
    assert [line.status for line in lines] == ["info", "pass", "pass"]


def test_a_lowered_ef_search_is_red_in_its_band(opened: Posed, tmp_path: Path) -> None:
    lines, _ = opened.check(at=with_policy(opened, tmp_path, ef_search=10))
    assert failed(lines) == ["filter policy", lines[1].name]
    assert lines[1].name.startswith("recall from")


def test_no_scan_is_red_in_the_band_that_was_scanned(opened: Posed, tmp_path: Path) -> None:
    lines, _ = opened.check(at=with_policy(opened, tmp_path, below=0))
    assert failed(lines) == ["filter policy", lines[2].name]
    assert "scans below 0 rows" in lines[0].text


def test_a_filter_that_is_ignored_is_red(opened: Posed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FilteredIndex, "search_graph", lambda self, queries, k, allowed, ef: self.index.search(queries, k)
    )
    lines, _ = opened.check()
    assert failed(lines) == [lines[1].name]


def test_positions_that_are_no_rows_are_followed(opened: Posed, x: FloatArray, tmp_path: Path) -> None:
    """An index in another order, which scans everything, finds everything."""
    order = np.random.default_rng(1).permutation(N)
    index = faiss.IndexHNSWFlat(D, 8)
    index.add(x[:N][order] / np.linalg.norm(x[:N][order], axis=1, keepdims=True))
    shuffled = with_ids(index, order, "shuffled", 0, ())
    at = with_policy(opened, tmp_path, below=N + 1)
    unit = replace(opened.posed.problem, raw=opened.posed.problem.queries)
    _, now = opened.check(at=at, opened=shuffled, posed=replace(opened.posed, problem=unit))
    assert [set(band.hits) for band in now.bands] == [{10}, {10}]


def test_made_up_filters_are_made_up_as_in_the_run(opened: Posed) -> None:
    """Bands that are frozen as rows and as shares have the same queries and the same rows allowed."""
    options = replace(opened.posed.problem.options, selectivity=(0.2,))
    problem = replace(opened.posed.problem, options=options)
    groups = result_of(made_up_bands(problem)).groups
    before = tuple(
        FrozenBand(least_rows=round(share * N), ef_search=10, kind=each.kind, recall=0.0, hits=(0,) * NQ)
        for share, strata in groups
        for each in strata
    )
    frozen = FrozenFilters(source="made up", fingerprint="", n=N, scan_below_rows=0, bands=before)
    at = opened.folder / "nowhere"
    _, now = opened.check(at=at, posed=replace(opened.posed, problem=problem), given=None, frozen=frozen)
    index = FilteredIndex(opened.opened.index, ((0.0, 10),), 0)
    wanted = [each.answered(index).tolist() for _, strata in groups for each in strata]
    assert [list(band.hits) for band in now.bands] == wanted


def test_filters_that_are_other_or_missing_are_refused(opened: Posed) -> None:
    asked = FiltersAsked(labels=np.arange(N) % 2, query_labels=np.arange(NQ) % 2)
    posed = opened.posed
    queries = open_vectors(opened.folder / "queries.npy", "queries")
    other = open_filters(asked, (posed.vectors, queries), (opened.folder / "base.npy", "queries"))
    with pytest.raises(InputError, match="other filters than the baseline's"):
        opened.check(given=other)
    with pytest.raises(InputError, match=r"queries fall into the band from .* were frozen"):
        opened.check(given=other, request={"new_data": True})
    assert check_filters_given(opened.frozen, None, no_filters=True) is None
    with pytest.raises(InputError, match="give the same with --labels"):
        check_filters_given(opened.frozen, None, no_filters=False)
    with pytest.raises(InputError, match="the baseline has no bands of filters: leave"):
        check_filters_given(replace(opened.frozen, filters=None), other, no_filters=False)


def test_the_command_line_freezes_and_checks_them(
    given: tuple[GateBaseline, Path], run: Run, tmp_path: Path
) -> None:
    folder = given[1]
    code, out, _ = run("baseline", str(folder), "-o", str(tmp_path / "again.yaml"))
    assert code == 0
    assert "and 2 bands of filters" in " ".join(out.split())
    files = [str(tmp_path / "again.yaml"), str(folder / "base.npy"), "--queries", str(folder / "queries.npy")]
    arguments = ["check", *files, "--index", str(folder / "index.faiss"), "--threads", "1"]
    labelled = ["--labels", str(folder / "labels.npy"), "--query-labels", str(folder / "asked.npy")]
    code, out, message = run(*arguments, *labelled)
    assert code == 0, out + message
    assert "filter policy" in out
    code, _, message = run(*arguments)
    assert code == 2
    assert "give the same with --labels" in " ".join(message.split())


def test_a_damaged_file_is_refused_and_one_without_filters_is_as_before(
    given: tuple[GateBaseline, Path], tmp_path: Path
) -> None:
    frozen, path = given[0], tmp_path / "b.yaml"
    assert frozen.filters is not None
    first, *others = frozen.filters.bands
    for bad in (replace(first, hits=first.hits[:-1]), replace(first, least_rows=0)):
        write_baseline(replace(frozen, filters=replace(frozen.filters, bands=(bad, *others))), path)
        with pytest.raises(InputError, match=r"is damaged, (a|the hits of a) band"):
            read_baseline(path)
    write_baseline(replace(frozen, filters=None), path)
    assert "filters" not in path.read_text()
    assert read_baseline(path).filters is None


def test_bands_that_cannot_be_measured_again_are_named(given: tuple[GateBaseline, Path]) -> None:
    result = read_report(given[1])
    assert reason_not_frozen(result, result.named["balanced"]) == ""
    assert "of another point" in reason_not_frozen(result, -1)
    held_out = replace(result, queries=replace(result.queries, held_out_rows=(1, 2)))
    assert "were added to the index" in reason_not_frozen(held_out, result.named["balanced"])
