"""Bands of filters, frozen and checked: what is unchanged passes, and each planted fault is red."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import planted_rows
from gated import Run, statuses

import tuner
from tuner.errors import InputError
from tuner.gate import CheckResult, read_baseline, save_baseline, write_baseline
from tuner.report import result_to_json
from tuner.search import RECOMMENDED, FilteredIndex
from tuner.sweep.filters import run as filters_run
from tuner.sweep.filters.costs import FilterCosts
from tuner.types import FloatArray, GateBaseline, IdArray, Space

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


@pytest.fixture
def files(given: tuple[GateBaseline, Path]) -> Iterator[Path]:
    """Folder of the run, whose recommended.yaml is as it was afterwards."""
    path = given[1] / RECOMMENDED
    before = path.read_bytes()
    yield given[1]
    path.write_bytes(before)


def check(folder: Path, frozen: GateBaseline, **asked: Any) -> CheckResult:
    return tuner.check(
        frozen, folder / "base.npy", folder / "queries.npy", index=folder / "index.faiss", threads=1, **asked
    )


def by_labels(folder: Path) -> dict[str, Path]:
    return {"labels": folder / "labels.npy", "query_labels": folder / "asked.npy"}


def failed(result: CheckResult) -> list[str]:
    return [line.name for line in result.lines if line.status == "fail"]


def served(folder: Path, **changes: Any) -> None:
    """Change the policy of recommended.yaml: ef_search of its bands, or what is scanned."""
    path = folder / RECOMMENDED
    written = yaml.safe_load(path.read_text())
    for band in written["filters"]["bands"]:
        if band["ef_search"] is not None:
            band["ef_search"] = changes.get("ef_search", band["ef_search"])
    written["filters"]["scan_below_rows"] = changes.get("below", written["filters"]["scan_below_rows"])
    path.write_text(yaml.safe_dump(written))


def test_an_unchanged_policy_gives_the_same_hits(given: tuple[GateBaseline, Path]) -> None:
    frozen, folder = given
    assert frozen.filters is not None
    assert [band.ef_search is None for band in frozen.filters.bands] == [False, True]
    assert sum(len(band.hits) for band in frozen.filters.bands) == NQ
    found = check(folder, frozen, **by_labels(folder))
    assert found.passed
    assert statuses(found)["filter policy"] == "pass"
    of_bands = [line for line in found.lines if line.name.startswith("recall from")]
    assert len(of_bands) == 2
    assert all("finds as many as before" in line.text for line in of_bands)
    assert found.updated.filters is not None
    assert [band.hits for band in found.updated.filters.bands] == [band.hits for band in frozen.filters.bands]


def test_a_lowered_ef_search_of_a_band_is_red(given: tuple[GateBaseline, Path], files: Path) -> None:
    served(files, ef_search=10)
    found = check(files, given[0], **by_labels(files))
    (name, *others) = [name for name in failed(found) if name != "filter policy"]
    assert name.startswith("recall from")
    assert not others
    assert "filter policy" in found.broken


def test_no_scan_is_red_in_the_band_that_was_scanned(given: tuple[GateBaseline, Path], files: Path) -> None:
    served(files, below=0)
    found = check(files, given[0], **by_labels(files))
    names = [line.name for line in found.lines if line.name.startswith("recall from")]
    assert failed(found) == ["filter policy", names[1]]


def test_a_filter_that_is_ignored_is_red(
    given: tuple[GateBaseline, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, folder = given
    monkeypatch.setattr(
        FilteredIndex, "search_graph", lambda self, queries, k, allowed, ef: self.index.search(queries, k)
    )
    assert len(failed(check(folder, frozen, **by_labels(folder)))) == 1


def test_an_index_built_again_is_checked_by_the_frozen_policy(
    given: tuple[GateBaseline, Path],
) -> None:
    frozen, folder = given
    rebuilt = tuner.check(frozen, folder / "base.npy", folder / "queries.npy", threads=1, **by_labels(folder))
    assert rebuilt.passed, failed(rebuilt)
    assert statuses(rebuilt)["filter policy"] == "info"


def test_the_command_line_says_what_is_missing_or_other(
    given: tuple[GateBaseline, Path], run: Run, tmp_path: Path
) -> None:
    folder = given[1]
    code, out, _ = run("baseline", str(folder), "-o", str(tmp_path / "again.yaml"))
    assert code == 0
    assert "and 2 bands of filters" in " ".join(out.split())
    files = [str(tmp_path / "again.yaml"), str(folder / "base.npy"), "--queries", str(folder / "queries.npy")]
    arguments = ["check", *files, "--index", str(folder / "index.faiss"), "--threads", "1"]
    labelled = ["--labels", str(folder / "labels.npy"), "--query-labels", str(folder / "asked.npy")]
    assert run(*arguments, *labelled)[0] == 0
    code, _, message = run(*arguments)
    assert code == 2
    assert "give the same with --labels" in " ".join(message.split())
    assert run(*arguments, "--no-filters")[0] == 0
    np.save(tmp_path / "other.npy", np.load(folder / "asked.npy")[::-1])
    code, _, message = run(*arguments, *labelled[:3], str(tmp_path / "other.npy"))
    assert code == 2
    assert "other filters than the baseline's" in " ".join(message.split())


def test_a_damaged_or_older_file_is_refused(given: tuple[GateBaseline, Path], tmp_path: Path) -> None:
    frozen, path = given[0], tmp_path / "b.yaml"
    assert frozen.filters is not None
    first, *others = frozen.filters.bands
    for bad in (replace(first, hits=first.hits[:-1]), replace(first, least_rows=0)):
        write_baseline(replace(frozen, filters=replace(frozen.filters, bands=(bad, *others))), path)
        with pytest.raises(InputError, match=r"is damaged, (a|the hits of a) band"):
            read_baseline(path)
    write_baseline(replace(frozen, filters=None), path)
    assert "filters" not in path.read_text()
    with pytest.raises(InputError, match="the baseline has no bands of filters: leave"):
        check(given[1], read_baseline(path), **by_labels(given[1]))


def test_made_up_filters_are_made_up_again(x: FloatArray, tmp_path: Path) -> None:
    frozen = frozen_run(x, tmp_path, selectivity=(0.5, 0.05))
    assert frozen.filters is not None
    found = check(tmp_path, frozen)
    assert found.passed, failed(found)
    of_bands = [line.text for line in found.lines if line.name.startswith("recall from")]
    assert len(of_bands) >= 4
    served(tmp_path, ef_search=10, below=0)
    assert {name.rsplit("(")[-1] for name in failed(check(tmp_path, frozen))} >= {"correlated)"}
