"""The recall gate from end to end: it passes what did not change, and every planted fault is caught."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import yaml
from conftest import planted_rows

import tuner
from benchmarks.gate.faults import FAULTS, inner
from tuner.cli.main import _exit_code
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.gate import (
    CheckOptions,
    CheckResult,
    GateBaseline,
    Limits,
    check,
    read_baseline,
    save_baseline,
    write_baseline,
)
from tuner.gate.outputs import headline, to_annotations, to_json, to_junit, to_markdown
from tuner.gate.verdict import Use, growth_line, power_line, use_line
from tuner.recall.paired import Power
from tuner.report import result_to_json
from tuner.runtime.steps import result_of
from tuner.types import FloatArray, Space

N, NQ, D, K = 5000, 800, 32, 10
SPACE = Space(M=(6, 12), codecs=("SQ8",), cuts=(1.0,), rerank_factors=(1,), ef_construction=60)


@dataclass(frozen=True)
class Gate:
    """A finished run with its baseline, as files."""

    folder: Path
    x: FloatArray
    frozen: GateBaseline

    @property
    def index(self) -> Path:
        return self.folder / "index.faiss"

    @property
    def files(self) -> list[str]:
        return [str(self.folder / "base.npy"), "--queries", str(self.folder / "queries.npy")]

    def check(self, frozen: GateBaseline | None = None, **asked: Any) -> CheckResult:
        found = result_of(
            check(
                frozen or self.frozen,
                open_vectors(self.folder / "base.npy", "base"),
                open_vectors(self.folder / "queries.npy", "queries"),
                CheckOptions(**{"index": self.index, "threads": 1, **asked}),
                self.folder / "check-work",
            )
        )
        return found


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    folder = tmp_path_factory.mktemp("gate")
    x = planted_rows(N + NQ, D, 3)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    np.save(folder / "base.npy", x[:N])
    np.save(folder / "queries.npy", x[N:])
    result = tuner.tune(x[:N], recall=0.9, queries=x[N:], out=folder, space=SPACE, threads=1)
    (folder / "report.json").write_bytes(result_to_json(result))
    frozen = save_baseline(result)
    write_baseline(frozen, folder / "baseline.yaml")
    # a float of a report keeps six digits, and a file read back is what a check sees
    return Gate(folder, x[:N], read_baseline(folder / "baseline.yaml"))


def statuses(result: CheckResult) -> dict[str, str]:
    return {line.name: line.status for line in result.lines}


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line; return exit code, stdout and stderr."""

    def go(*arguments: str) -> tuple[int, str, str]:
        code = _exit_code(arguments)
        return code, *capsys.readouterr()

    return go


# ---------------------------------------------------------------- nothing changed


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


# ---------------------------------------------------------------- planted faults


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


@pytest.mark.parametrize(
    ("use", "status"),
    [
        (Use(1000, 100.0, 20.0, 0.9, 0.3, ""), "pass"),
        (Use(1000, 1000.0, 1000.0, 1.0, 0.9, ""), "fail"),  # everything was looked at, always
        (Use(1000, 950.0, 20.0, 1.0, 0.3, ""), "warn"),  # a graph that is not worth having
        (Use(1000, 0.0, 0.0, 1.0, 0.3, ""), "fail"),  # nothing was
        (Use(1000, 100.0, 100.0, 0.9, 0.9, ""), "fail"),  # ef_search is ignored
        (Use(1000, 100.0, 50.0, 0.9, 0.9, ""), "pass"),  # so easy that starving costs nothing
        (Use(1000, 100.0, 20.0, 0.9, 0.3, "IndexFlat"), "fail"),
    ],
)
def test_proof_that_the_index_was_used(use: Use, status: str) -> None:
    assert use_line(use).status == status


# ---------------------------------------------------------------- other data


def test_other_vectors_cannot_be_judged_unless_they_are_meant(gate: Gate, tmp_path: Path, run: Run) -> None:
    again = gate.x + np.random.default_rng(5).normal(0, 0.01, gate.x.shape).astype(np.float32)
    np.save(tmp_path / "again.npy", again)
    arguments = [str(gate.folder / "baseline.yaml"), str(tmp_path / "again.npy"), *gate.files[1:]]
    code, _, said = run("check", *arguments)
    assert code == 2
    assert "other vectors than the baseline's" in said
    assert "--new-data" in said
    code, out, _ = run("check", *arguments, "--new-data", "--threads", "1")
    assert code == 0, out
    assert "exact neighbours were found anew" in " ".join(out.split())


def test_a_new_model_may_have_other_columns(gate: Gate, tmp_path: Path, run: Run) -> None:
    rotation = np.linalg.qr(np.random.default_rng(6).normal(size=(48, D)))[0].astype(np.float32)
    np.save(tmp_path / "base.npy", gate.x @ rotation.T)
    queries = np.load(gate.folder / "queries.npy") @ rotation.T
    np.save(tmp_path / "queries.npy", queries)
    code, out, said = run(
        "check",
        str(gate.folder / "baseline.yaml"),
        str(tmp_path / "base.npy"),
        *("--queries", str(tmp_path / "queries.npy"), "--new-data", "--threads", "1"),
    )
    assert code == 0, out + said
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
    code, _, said = run(
        "check",
        str(gate.folder / "baseline.yaml"),
        gate.files[0],
        "--queries",
        str(tmp_path / "queries.npy"),
    )
    assert code == 2
    assert sentence in said


def test_the_queries_must_come_from_where_they_came(gate: Gate, run: Run) -> None:
    code, _, said = run("check", str(gate.folder / "baseline.yaml"), gate.files[0])
    assert code == 2
    assert "give the same one with --queries" in said


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda text: text[: text.index("hits: |") + 60], "hits of"),
        (lambda text: text[:-4], "hits of"),
        (lambda text: text.split("ef_search")[0], "is damaged or no baseline"),
        (lambda text: text.replace("schema_version: 1", "schema_version: 2"), "has schema 2"),
        (lambda text: text.replace("schema_version: 1", ""), "no schema_version"),
        (lambda text: text.replace("\nk: 10", "\nk: 20"), "do not give its measured_recall"),
        (lambda text: text.replace("\nk: 10", "\nk: ten"), "is damaged or no baseline"),
        (lambda text: "[]", "holds no keys"),
        (lambda text: "\tx: [", "is no YAML text"),
        (lambda text: "x: !!python/object:os.system {}", "is no YAML text"),
    ],
)
def test_a_damaged_baseline_is_refused(
    gate: Gate, tmp_path: Path, damage: Callable[[str], str], sentence: str, run: Run
) -> None:
    text = (gate.folder / "baseline.yaml").read_text()
    (tmp_path / "baseline.yaml").write_text(damage(text))
    code, _, said = run("check", str(tmp_path / "baseline.yaml"), *gate.files)
    assert code == 2
    assert sentence in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "no such file"), (b"nonsense", "faiss cannot read it"), (b"", "faiss cannot read it")],
)
def test_a_broken_index_cannot_be_judged(
    gate: Gate, tmp_path: Path, content: bytes | None, sentence: str, run: Run
) -> None:
    path = tmp_path / "index.faiss"
    if content is not None:
        path.write_bytes(content)
    code, _, said = run(
        "check", str(gate.folder / "baseline.yaml"), *gate.files, "--index", str(path), "--quiet"
    )
    assert code == 2
    assert sentence in said


def test_a_truncated_index_and_one_of_other_columns(gate: Gate, tmp_path: Path, run: Run) -> None:
    cut = tmp_path / "cut.faiss"
    cut.write_bytes(gate.index.read_bytes()[:100_000])
    other = tmp_path / "other.faiss"
    faiss.write_index(faiss.IndexHNSWFlat(D + 1, 8), str(other))
    for path, sentence in ((cut, "faiss cannot read it"), (other, "takes vectors of 33 columns")):
        code, _, said = run("check", str(gate.folder / "baseline.yaml"), *gate.files, "--index", str(path))
        assert code == 2
        assert sentence in said


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("entry_point", "its graph is damaged"),
        ("max_level", "its graph is damaged"),
        ("efSearch", "its efSearch is 2.14748e+09, and only 1 to 1,048,576 can be searched with"),
    ],
)
def test_a_graph_that_leads_out_of_the_index_is_refused(
    gate: Gate, tmp_path: Path, what: str, sentence: str, run: Run
) -> None:
    """Searched, it would run for hours or read beyond its memory."""
    index = faiss.read_index(str(gate.index))
    setattr(inner(index).hnsw, what, 2**31 - 1)
    faiss.write_index(index, str(tmp_path / "damaged.faiss"))
    arguments = ("check", str(gate.folder / "baseline.yaml"), *gate.files)
    code, _, said = run(*arguments, "--index", str(tmp_path / "damaged.faiss"))
    assert code == 2
    assert sentence in said or "faiss cannot read it" in said


@pytest.mark.parametrize(
    "limit", ["recall", "recall:", "recall:x", "speed:3", "recall:100%", "ndis:-1%", "ndis:10", "memory:2"]
)
def test_a_limit_that_is_none(gate: Gate, limit: str, run: Run) -> None:
    code, _, said = run("check", str(gate.folder / "baseline.yaml"), *gate.files, "--fail-on", limit)
    assert code == 2
    assert "--fail-on" in said


# ---------------------------------------------------------------- the command line and its files


def test_freeze_check_and_update_by_command(gate: Gate, tmp_path: Path, run: Run) -> None:
    report, out = str(gate.folder / "report.json"), tmp_path / "deep" / "baseline.yaml"
    code, said, _ = run("baseline", report, "-o", str(out))
    assert code == 0
    assert gate.frozen.label in said
    assert read_baseline(out).hits == gate.frozen.hits
    assert yaml.safe_load(out.read_text())["measured_recall"] == pytest.approx(gate.frozen.measured_recall)
    code, _, said = run("baseline", report, "-o", str(out))
    assert code == 2
    assert "--force" in said
    junit, markdown = tmp_path / "junit.xml", tmp_path / "summary.md"
    lowered = ("--ef-search", "10", "--index", str(gate.index))
    code, printed, said = run(
        *("check", str(out), *gate.files, *lowered, "--junit", str(junit), "--markdown", str(markdown)),
        *("--annotations", "--json", "--fail-on", "recall:1%"),
    )
    assert code == 1
    tree = json.loads(printed)
    assert tree["passed"] is False
    assert tree["headline"].startswith("regression: ")
    failures = [
        case.get("name")
        for case in ET.parse(junit).iter("testcase")  # noqa: S314 - our own
        if case.find("failure") is not None
    ]
    assert failures == [line["name"] for line in tree["lines"] if line["status"] == "fail"]
    assert "**FAIL**" in markdown.read_text()
    assert f"::error file={out.as_posix()}" in said
    ef_search = 3 * gate.frozen.ef_search
    raised = ("--ef-search", str(ef_search), "--index", str(gate.index))
    assert run("check", str(out), *gate.files, *raised)[0] == 1
    code, said, _ = run("check", str(out), *gate.files, *raised, "--update")
    assert code == 0
    assert "updated" in said
    assert read_baseline(out).ef_search == ef_search
    code, said, _ = run("check", str(out), *gate.files, *raised)
    assert code == 0, said


def test_annotations_come_by_themselves_on_github(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, said, _ = run(
        "check",
        str(gate.folder / "baseline.yaml"),
        *gate.files,
        "--index",
        str(gate.index),
        "--ef-search",
        "1",
    )
    assert code == 1
    assert "::error file=" in said


def test_what_is_written_for_others(gate: Gate) -> None:
    found = gate.check(ef_search=10)
    suite = ET.fromstring(to_junit(found)).find("testsuite")  # noqa: S314 - our own
    assert suite is not None
    assert int(suite.get("failures", 0)) == len(suite.findall("testcase/failure")) > 0
    assert int(suite.get("tests", 0)) == len(suite.findall("testcase"))
    table = to_markdown(found).splitlines()
    assert len([row for row in table if row.startswith("| ")]) == len(found.lines) + 1
    assert json.loads(to_json(found))["visible_drop"] == pytest.approx(found.visible_drop)
    errors = to_annotations(found, "a,b:c.yaml")
    assert errors[0].startswith("::error file=a%2Cb%3Ac.yaml,title=tune check%3A ")
    assert headline(found).startswith("regression: ")


def test_too_few_queries_are_said_with_the_number_that_would_do() -> None:
    few = power_line(Power(n_queries=100, allowed=0.005, confidence=0.95, churn=0.0, per_drop=0.3))
    assert few.status == "warn"
    assert "held-out queries" in few.text
    many = power_line(Power(n_queries=5000, allowed=0.005, confidence=0.95, churn=0.0, per_drop=0.3))
    assert many.status == "info"
    assert "95% power" in many.text


def test_what_cannot_be_frozen(gate: Gate, tmp_path: Path, run: Run) -> None:
    exact = tuner.tune(gate.x[:300], recall=0.9, queries=gate.x[300:400], threads=1)
    with pytest.raises(InputError, match="exact search"):
        save_baseline(exact)
    code, _, said = run("baseline", str(tmp_path / "none.json"))
    assert code == 2
    assert "cannot be read" in said


def test_held_out_rows_are_held_out_again(tmp_path: Path, run: Run) -> None:
    x = planted_rows(3000, D, 4)
    np.save(tmp_path / "base.npy", x)
    result = tuner.tune(x, recall=0.8, out=tmp_path, space=SPACE, threads=1)
    write_baseline(save_baseline(result), tmp_path / "b.yaml")
    arguments = ("check", str(tmp_path / "b.yaml"), str(tmp_path / "base.npy"), "--threads", "1")
    code, out, said = run(*arguments, "--index", str(tmp_path / "index.faiss"))
    assert code == 0, out + said
    assert "finds as many as before" in " ".join(out.split())
    assert run(*arguments)[0] == 0
    code, _, said = run(*arguments, "--queries", str(tmp_path / "base.npy"))
    assert code == 2
    assert "leave --queries out" in said


# ---------------------------------------------------------------- every shape that an index can have


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
    "re-ranked": {"metric": "ip", "space": COARSE},
    "re-ranked from disk": {"metric": "l2", "space": COARSE, "rerank_store": "disk"},
}


@pytest.mark.parametrize("held_out", [False, True], ids=["queries", "held out"])
@pytest.mark.parametrize("shape", SHAPES)
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
        code, out, said = run(*arguments, "--new-data", "--update")
        assert code == 0, out + said
        code, out, said = run(*arguments)
        assert code == 0, out + said
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
    code, _, said = run(*arguments)
    assert code == 2
    assert "--update accepts figures, not another index" in said
    assert (tmp_path / "baseline.yaml").read_bytes() == before


def test_what_could_not_be_judged_is_written_for_others_too(gate: Gate, tmp_path: Path, run: Run) -> None:
    junit = tmp_path / "deep" / "junit.xml"
    arguments = ("check", str(tmp_path / "none.yaml"), *gate.files, "--junit", str(junit), "--annotations")
    code, out, said = run(*arguments)
    assert code == 2
    suite = ET.parse(junit).getroot().find("testsuite")  # noqa: S314 - our own
    assert suite is not None
    assert suite.get("errors") == "1"
    assert "::error file=" in out
    assert "cannot be read" in said
    (tmp_path / "folder").mkdir()
    code, _, said = run(
        "check", str(gate.folder / "baseline.yaml"), *gate.files, "--junit", str(tmp_path / "folder")
    )
    assert code == 2
    assert "cannot be written" in said


@pytest.mark.parametrize(
    "figure",
    [
        *("ndis_per_query: .nan", "ndis_per_query: 0", "ndis_per_query: .inf", "measured_recall: .nan"),
        *("ef_search: 0", "ef_search: 99999999999", "graph_M: -1", "graph_M: 99999999999999999999"),
        *(
            "latency_s: 0",
            "  M: 0",
            "  dims: 0",
            "  ef_construction: -1",
            "  codec: XX9",
            "  n: 0",
            "  d: -1",
        ),
    ],
)
def test_figures_that_are_none_are_refused(gate: Gate, tmp_path: Path, figure: str, run: Run) -> None:
    name = figure.split(":", maxsplit=1)[0]
    lines = (gate.folder / "baseline.yaml").read_text().splitlines(keepends=True)
    text = "".join(f"{figure}\n" if line.startswith(f"{name}:") else line for line in lines)
    (tmp_path / "baseline.yaml").write_text(text)
    code, _, said = run("check", str(tmp_path / "baseline.yaml"), *gate.files)
    assert code == 2
    assert "damaged" in said


def test_queries_that_are_split_otherwise_are_refused(gate: Gate) -> None:
    queries = replace(gate.frozen.queries, split="0123456789abcdef")
    with pytest.raises(InputError, match="drawn or split otherwise"):
        gate.check(replace(gate.frozen, queries=queries))
