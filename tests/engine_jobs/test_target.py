"""``tune --target``, ``tune export`` and ``tune verify`` end to end, on engines that are always there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tuner.cli.main import tune
from tuner.engine_jobs import settle
from tuner.engines import find_engine, read_exported
from tuner.engines.translate import config_of, space_for
from tuner.errors import InputError
from tuner.report import result_from_json
from tuner.space import default_space
from tuner.types import Result

ROOT = Path(__file__).parents[2]
BASE = ROOT / "datasets" / "docs-minilm-384" / "base.npy"
QUERIES = ROOT / "datasets" / "docs-minilm-384" / "queries.npy"


def run(arguments: list[str]) -> tuple[int, str]:
    """Exit code and standard output of the command, errors as the user sees them."""
    done = CliRunner().invoke(tune, arguments, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return int(done.return_value), done.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("data")
    np.save(folder / "base.npy", np.load(BASE)[:2_500])
    np.save(folder / "queries.npy", np.load(QUERIES)[:400])
    return folder / "base.npy", folder / "queries.npy"


@pytest.fixture(scope="module")
def tuned(data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``--target hnswlib`` leaves, where its default is as fast as what is chosen.

    The clock might name the default, as ``test_choice.py`` has it.
    """
    out = tmp_path_factory.mktemp("tuned")
    base, queries = map(str, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settle, "latency_ratio", lambda *_: 1.0)
        code, _ = run(
            ["run", "--target", "hnswlib", "--recall", "0.9", "--queries", queries, "--out", str(out), base]
        )
    assert code == 0
    return out


def report(tuned: Path) -> Result:
    return result_from_json((tuned / "sweep" / "report.json").read_bytes())


def test_the_answer_is_measured_in_the_engine(tuned: Path) -> None:
    written = {"engine.html", "engine.json", "hnswlib.py", "sweep"}
    assert {path.name for path in tuned.iterdir()} == written
    answer = json.loads((tuned / "engine.json").read_text(encoding="utf-8"))
    _, exported = read_exported(tuned / "hnswlib.py")
    assert next(iter(answer.items())) == ("schema_version", 3)
    assert answer["status"] == "reached"
    assert exported.claims.in_engine
    assert exported.claims.measured_in.startswith("hnswlib 0.")
    assert exported.claims.recall_lower >= 0.9
    assert exported.settings.M in report(tuned).options.space.M
    assert answer["default_comparison"]["point"]["settings"]["M"] == 16


def test_the_answer_is_that_of_a_second_build(tuned: Path) -> None:
    answer = json.loads((tuned / "engine.json").read_text(encoding="utf-8"))
    chosen, tried = answer["chosen"], answer["points"]
    first = chosen["first_build"]
    (mine,) = [each for each in tried if each["settings"]["M"] == chosen["settings"]["M"]]
    assert mine["first_build"] is None
    assert first == {"ef_search": mine["settings"]["ef_search"], "recall": mine["recall"]}
    assert chosen["settings"]["ef_search"] >= first["ef_search"]
    assert chosen["recall"] != mine["recall"]  # rows in another order make another graph
    _, exported = read_exported(tuned / "hnswlib.py")
    assert exported.settings.ef_search == chosen["settings"]["ef_search"]
    assert exported.claims.recall == chosen["recall"]["mean"]


def lengths_that_differ(n: int, seed: int) -> np.ndarray:
    """Rows (n, 32) in clusters, their lengths spread: inner products made distances are hard for faiss."""
    rng, centres = np.random.default_rng(seed), np.random.default_rng(9).normal(size=(60, 32))
    x = centres[rng.integers(60, size=n)] + 0.6 * rng.normal(size=(n, 32))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return (x * rng.lognormal(0, 0.6, (n, 1))).astype(np.float32)


def test_the_engine_itself_is_asked_where_the_sweep_says_no(tmp_path: Path) -> None:
    """At ef_search 200 faiss's own graphs find less than .95 of these, hnswlib's more than .98."""
    (tmp_path / "space.yaml").write_text("M: [6, 8, 12, 16]\nef_search_max: 200\n", encoding="utf-8")
    np.save(tmp_path / "base.npy", lengths_that_differ(3_000, 1))
    np.save(tmp_path / "queries.npy", lengths_that_differ(1_000, 2))
    queries = str(tmp_path / "queries.npy")
    common = ["--recall", "0.95", "--metric", "ip", "--queries", queries, "--seed", "1", "--threads", "1"]
    arguments = [
        *common,
        "--space",
        str(tmp_path / "space.yaml"),
        "--out",
        str(tmp_path / "out"),
        str(tmp_path / "base.npy"),
    ]
    assert run(["run", "--target", "hnswlib", *arguments])[0] == 0
    sweep = result_from_json((tmp_path / "out" / "sweep" / "report.json").read_bytes())
    assert sweep.status == "not_reached"
    _, exported = read_exported(tmp_path / "out" / "hnswlib.py")
    assert exported.claims.recall_lower >= 0.95


def test_what_was_exported_is_verified(tuned: Path, data: tuple[Path, Path]) -> None:
    base, queries = map(str, data)
    code, output = run(["verify", str(tuned / "hnswlib.py"), base, "--queries", queries, "--json", "--quiet"])
    assert code == 0
    found = json.loads(output)
    assert found["verdict"] == "verified"
    assert found["recall"]["n_queries"] == report(tuned).queries.n


def test_other_queries_are_asked_all(tuned: Path, data: tuple[Path, Path], tmp_path: Path) -> None:
    others = tmp_path / "others.npy"
    np.save(others, np.load(QUERIES)[600:800])
    code, output = run(
        ["verify", str(tuned / "hnswlib.py"), str(data[0]), "--queries", str(others), "--json"]
    )
    assert code in (0, 1)
    assert json.loads(output)["recall"]["n_queries"] == 200


def test_an_earlier_sweep_gives_its_links(tuned: Path, data: tuple[Path, Path], tmp_path: Path) -> None:
    base, queries = map(str, data)
    sweep, space = str(tuned / "sweep" / "report.json"), tmp_path / "space.yaml"
    space.write_text("codecs: [fp32, SQ8]\n", encoding="utf-8")
    common = [
        "run",
        "--space",
        str(space),
        "--target",
        "faiss",
        "--queries",
        queries,
        "--out",
        str(tmp_path / "out"),
        "--sweep",
        sweep,
        "--force",
    ]
    assert run([*common, "--recall", "0.9", base])[0] == 0
    assert not (tmp_path / "out" / "sweep" / "report.json").exists()
    with pytest.raises(InputError, match="--sweep: that report is of other recall"):
        run([*common, "--recall", "0.91", base])


def test_an_engine_that_does_not_run_here_is_exported_and_marked(
    data: tuple[Path, Path], tmp_path: Path
) -> None:
    base, queries = map(str, data)
    arguments = ["--recall", "0.9", "--queries", queries, "--out", str(tmp_path), base]
    assert run(["run", "--target", "mongodb", *arguments])[0] == 0
    _, exported = read_exported(tmp_path / "mongodb.json")
    assert exported.settings.M >= 16
    assert not exported.claims.in_engine
    assert "NOT verified on a running server" in (tmp_path / "mongodb.json").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="does not run on a development machine"):
        run(["verify", str(tmp_path / "mongodb.json"), base, "--queries", queries])


def test_what_an_engine_cannot_express_is_refused_with_the_nearest(tuned: Path) -> None:
    found = report(tuned)
    point = found.points[0]
    cut = replace(point, configuration=replace(point.configuration, cut="pca", dims=128))
    other = replace(found, points=(cut, *found.points))
    with pytest.raises(InputError, match=r"cannot express PCA128,.*nearest .* that it can is number \d"):
        config_of(find_engine("hnswlib"), other, cut)
    alone = replace(found, points=(cut,), baseline=None)
    with pytest.raises(InputError, match="nor any other measured point of this report"):
        config_of(find_engine("hnswlib"), alone, cut)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "pgvektor"], "no engine 'pgvektor': the nearest is 'pgvector'"),
        (["--to", "hnswlib", "--point", "best"], "has no point 'best'"),
        (["--to", "hnswlib", "--point", "9999"], "has no point '9999'"),
    ],
)
def test_export_refuses_in_a_sentence(tuned: Path, arguments: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        run(["export", str(tuned / "sweep" / "report.json"), *arguments])


def test_export_does_not_replace_a_file(tuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.py"
    arguments = ["export", str(tuned / "sweep" / "report.json"), "--to", "hnswlib", "-o", str(out)]
    assert run(arguments)[0] == 0
    with pytest.raises(InputError, match="is there already"):
        run(arguments)
    assert run([*arguments, "--force"])[0] == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--on", "pgvector"], "is for hnswlib, not for pgvector"),
        (["--name", "x; DROP TABLE y"], "is no plain name"),
        (["--url", "http://localhost:1"], "takes no server address"),
    ],
)
def test_verify_refuses_in_a_sentence(
    tuned: Path, data: tuple[Path, Path], options: list[str], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        run(["verify", str(tuned / "hnswlib.py"), str(data[0]), "--queries", str(data[1]), *options])


def test_verify_refuses_vectors_of_other_columns(tuned: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((500, 8)))
    with pytest.raises(InputError, match="has 8 columns, and the configuration is for 384"):
        run(["verify", str(tuned / "hnswlib.py"), str(tmp_path / "x.npy")])


def test_a_space_is_cut_to_what_the_engine_takes() -> None:
    space = space_for(find_engine("pgvector"), default_space(), 384, 10, "cosine")
    assert space.codecs == ("fp32", "fp16", "tqmse1")
    assert space.cuts == (1.0,)
    assert min(space_for(find_engine("mongodb"), default_space(), 384, 10, "cosine").M) == 16
    with pytest.raises(InputError, match="at most 16,000 dimensions"):
        space_for(find_engine("pgvector"), default_space(), 70_000, 10, "cosine")


@pytest.mark.parametrize("flag", ["--resume", "--exhaustive"])
def test_flags_of_the_sweep_alone_are_refused(flag: str, data: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="exclude each other"):
        run(["run", "--target", "hnswlib", "--recall", "0.9", flag, str(data[0])])


def test_engines_are_listed_and_told() -> None:
    code, output = run(["engines"])
    assert code == 0
    assert all(
        title in output.splitlines()[0] for title in ("runs here", "codecs", "ef_search", "re-scoring")
    )
    assert len(output.splitlines()) < 75
    for name in ("pgvector", "lucene", "azure"):
        assert name in output
    assert "silently: " in run(["engines", "pgvector"])[1]
