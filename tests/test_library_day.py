"""A library user's day: typed calls, mistakes, few vectors, results kept, a process left as it was."""

import gc
import inspect
import pickle
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import faiss
import numpy as np
import pytest

import tuner
from tuner.api.keywords import QueryOptions, TuneOptions
from tuner.sweep.hopeless import smallest_bytes
from tuner.types import FloatArray

ROOT = Path(__file__).parents[1]
EXPORTED = [
    *("CheckResult", "Diagnosis", "InputError", "Limits", "OperatingPoint", "Options", "ResourceError"),
    *("Result", "Space", "VerifyResult"),
    *("build", "check", "diagnose", "export", "tune", "tune_shards", "verify"),
]
SPACE = tuner.Space(M=(6, 12), codecs=("fp32", "SQ8"), cuts=(1.0,), rerank_factors=(1,), ef_construction=40)


def rows(n: int, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(40, 24))
    return (centres[rng.integers(40, size=n)] + rng.normal(size=(n, 24))).astype(np.float32)


def unit(x: FloatArray) -> FloatArray:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


BASE, QUERIES = rows(2_400), rows(300, seed=1)


@pytest.fixture(scope="module")
def result() -> tuner.Result:
    return tuner.tune(BASE, recall=0.8, queries=QUERIES, space=SPACE, threads=1)


@pytest.fixture(scope="module")
def few() -> tuner.Result:
    return tuner.tune(BASE[:900], recall=0.9)


# ---------------------------------------------------------------- what there is


def test_the_package_shows_what_it_exports_and_nothing_else() -> None:
    assert [name for name in dir(tuner) if not name.startswith("__")] == EXPORTED
    assert all(getattr(tuner, name).__doc__ for name in EXPORTED)
    assert not inspect.ismodule(tuner.check)
    with pytest.raises(AttributeError, match="no attribute 'bisect'"):
        tuner.bisect  # noqa: B018 - its absence is the test


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = "import sys, tuner; dir(tuner); sys.exit(any(n in sys.modules for n in ('faiss', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_the_package_runs_as_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tuner", "--version"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("tune ")


def test_keywords_are_the_fields_of_options() -> None:
    own = {"recall", "space", "earlier"}
    assert {field.name for field in fields(tuner.Options)} - own == set(TuneOptions.__annotations__)
    for keywords, function in ((QueryOptions, tuner.diagnose), (TuneOptions, tuner.tune)):
        assert keywords.__total__ is False
        named = re.findall(r"``(\w+)``", str(function.__doc__).split("**options:")[1])
        assert set(named) == {field.name for field in fields(tuner.Options)} & set(get_type_hints(keywords))


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"recal": 0.9}, "tune() has no 'recal': the nearest is 'recall'"),
        ({"recall": 0.9, "max_memory": 3}, "tune() has no 'max_memory': the nearest is 'max_memory_bytes'"),
        ({}, "tune() cannot be called like this (missing a required argument: 'recall'): see help(tuner."),
        ({"recall": "high"}, "recall is 'high', but it is a number: give one"),
        ({"recall": 0.9, "k": 2.5}, "k is 2.5, but it is a whole number: give one"),
        ({"recall": 0.9, "k": True}, "k is True, but it is a whole number: give one"),
        ({"recall": 0.9, "exhaustive": 1}, "exhaustive is 1, but it is True or False: give one"),
        ({"recall": 0.9, "n_queries": "9"}, "n_queries is '9', but it is a whole number or None: give one"),
        ({"recall": 0.9, "native": 3}, "native is 3, but it is a tuple of names: give one"),
        (
            {"recall": 0.9, "metric": "dot"},
            "metric is 'dot', but it is one of auto, cosine, ip, l2: give one of them",
        ),
        ({"recall": 0.9, "space": "qick"}, "qick: cannot be read"),
        ({"recall": 0.9, "space": 3}, "space is a int, but it is a tuner.Space, the name of a preset"),
        ({"recall": 0.9, "space": tuner.Space(M=(1,))}, "the space's M: 1 is out of range"),
        ({"recall": 95}, "recall is 95, but a target lies in (0, 1]: give 0.95 for 95 %"),
    ],
)
def test_each_mistake_has_its_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(tuner.InputError) as refused:
        tuner.tune(BASE[:50], **given)
    assert str(refused.value).startswith(sentence)


def test_other_functions_are_as_careful() -> None:
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (tuner.diagnose, {"ef": 3}, "diagnose() has no 'ef': the nearest is 'k'|'ef_search'"),
        (tuner.check, {"indx": 3}, "check() has no 'indx': the nearest is 'index'"),
        (tuner.verify, {"adress": "x"}, "verify() has no 'adress': the nearest is 'address'"),
        (tuner.export, {"pont": 3}, "export() has no 'pont': the nearest is 'point'"),
    ]
    for function, given, sentence in wrong:
        with pytest.raises(tuner.InputError) as refused:
            function("a", "b", **given)
        assert str(refused.value).split(":")[0] == sentence.split(":")[0]
    with pytest.raises(tuner.InputError, match="baseline is a int, but it is a file of tune baseline"):
        tuner.check(3, BASE)  # type: ignore[arg-type]


def test_lists_are_arrays_if_their_rows_are_of_one_length() -> None:
    assert tuner.tune(BASE[:100].tolist(), recall=0.5).profile.n == 100
    with pytest.raises(tuner.InputError, match="base array has rows of different lengths: give"):
        tuner.tune([[1.0, 2.0], [1.0]], recall=0.5)


def test_numbers_of_numpy_are_numbers() -> None:
    given: dict[str, Any] = {"k": np.int64(5), "recall": np.float32(0.5), "seed": np.uint8(1)}
    assert tuner.tune(BASE[:400], **given).options.k == 5


def test_a_type_checker_finds_a_wrong_name(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    program = tmp_path / "day.py"
    program.write_text(
        "import tuner\n"
        "result = tuner.tune('a.npy', recall=0.9, k=5, prefer='smallest')\n"
        "tuner.tune('a.npy', recall=0.9, max_memory=5)\n"
        "tuner.tune('a.npy', recall=0.9, metric='dot')\n"
        "tuner.tune('a.npy')\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(program)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = [line.split(":")[1] for line in done.stdout.splitlines() if "error:" in line]
    assert found == ["3", "4", "5"], done.stdout + done.stderr


# ---------------------------------------------------------------- results


def test_the_answer_is_there_and_its_index_answers_with_rows(result: tuner.Result) -> None:
    assert result.status == "reached"
    assert result.best is not None
    assert result.best == result.recommendation
    assert result.best.sentence in repr(result)
    distances, ids = result.index().search(QUERIES, 10)
    assert distances.shape == ids.shape == (300, 10)
    exact = np.argsort(-unit(QUERIES) @ unit(BASE).T, axis=1)[:, :10]  # by cosine, as nothing else was said
    assert np.mean([len(set(a) & set(b)) for a, b in zip(ids, exact, strict=True)]) / 10 >= 0.8


def test_few_vectors_have_an_answer_too(few: tuner.Result) -> None:
    assert few.status == "exact"
    assert few.best is not None
    assert few.best.sentence.startswith("Exact search of 900 vectors finds all of the true 10 nearest in ")
    assert (few.best.label, few.best.recall, few.best.ndis_per_query) == ("Flat", 1.0, 900)
    kept = np.delete(np.arange(900), few.queries.held_out_rows)
    assert few.index().search(BASE[kept], 1)[1][:, 0].tolist() == kept.tolist()


def test_a_result_shows_itself_in_a_notebook_and_as_a_table(
    result: tuner.Result, few: tuner.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = result._repr_mimebundle_()
    assert result.best is not None
    assert shown["text/plain"] == repr(result)
    assert result.best.sentence in shown["text/html"]
    assert "<table>" in shown["text/html"]
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert "<img" not in result._repr_mimebundle_()["text/html"], "nothing draws it"
    assert "exact search" in few._repr_mimebundle_()["text/html"]
    table = result.to_dataframe()
    assert len(table) == len(result.points)
    (best,) = table[table.recommended].label
    assert best == result.best.label
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(tuner.InputError, match="pip install pandas"):
        result.to_dataframe()


def test_a_result_has_charts_and_answers_for_other_limits(
    result: tuner.Result, few: tuner.Result, tmp_path: Path
) -> None:
    assert len(result.chart()["datasets"]["points"]) == len(result.points)
    assert result.plot(tmp_path / "recall.json", "recall").exists()
    own = result.within()
    assert own is not None
    assert result.best is not None
    assert (own.label, own.ef_search) == (result.best.label, result.best.ef_search)
    assert result.within(max_memory_bytes=1) is None
    for wrong in (lambda: result.chart("pie"), few.chart, lambda: result.plot(tmp_path / "x.gif")):
        with pytest.raises(tuner.InputError, match=r"no chart 'pie'|nothing was measured|no kind of picture"):
            wrong()


def test_a_result_is_saved_and_loaded_with_its_index(result: tuner.Result, tmp_path: Path) -> None:
    (tmp_path / "rerank.faiss").write_bytes(b"of an earlier run")
    written = result.save(tmp_path)
    assert sorted(path.name for path in written) == sorted(path.name for path in tmp_path.iterdir())
    assert {path.name for path in written} == {
        "report.json",
        "report.md",
        "report.html",
        "recommended.yaml",
        "index.faiss",
    }
    again = tuner.Result.load(tmp_path)
    assert again.best is not None
    assert result.best is not None
    assert again.best.sentence == result.best.sentence
    assert (again.index().search(QUERIES, 5)[1] == result.index().search(QUERIES, 5)[1]).all()
    assert again.save(tmp_path / "copy")[0].read_bytes() == written[0].read_bytes()
    assert again.save(tmp_path) == written  # onto itself


def test_a_store_on_disk_comes_with_the_index(tmp_path: Path) -> None:
    space = replace(SPACE, codecs=("SQ4",), rerank_stores=("fp32",), rerank_factors=(1, 4))
    base = BASE * np.float32(0.5)
    found = tuner.tune(base, recall=0.93, space=space, rerank_store="disk", threads=1, confidence=0.6)
    assert found.best is not None
    assert found.best.rerank_at == "disk"
    index = found.index()
    kept = np.delete(np.arange(len(base)), found.queries.held_out_rows)
    assert (index.search(base[kept], 1)[1][:, 0] == kept).mean() > 0.95
    assert "rerank.faiss" in [path.name for path in found.save(tmp_path)]
    loaded = tuner.Result.load(tmp_path).index()
    assert (loaded.search(QUERIES, 5)[1] == index.search(QUERIES, 5)[1]).all()


def test_nothing_is_written_where_the_whole_cannot_be(few: tuner.Result, tmp_path: Path) -> None:
    few.save(tmp_path / "saved")
    loaded = tuner.Result.load(tmp_path / "saved")
    (tmp_path / "saved" / "index.faiss").unlink()
    with pytest.raises(tuner.InputError, match="the index that was delivered is gone: run again"):
        loaded.save(tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(tuner.InputError, match=r"cannot be written .*: name another folder"):
        few.save(tmp_path / "file")


def test_the_folder_of_a_run_stands_for_its_report(result: tuner.Result, tmp_path: Path) -> None:
    result.save(tmp_path)
    of_folder, of_file = (tuner.export(path, "faiss") for path in (tmp_path, tmp_path / "report.json"))
    assert of_folder == of_file


def test_mistakes_with_results(few: tuner.Result, result: tuner.Result, tmp_path: Path) -> None:
    with pytest.raises(tuner.InputError, match=r"report.json: cannot be read .*: name a run's report.json"):
        tuner.Result.load(tmp_path)
    with pytest.raises(tuner.InputError, match=r"a report alone: Result\.load"):
        replace(few, warnings=()).index()
    few.save(tmp_path)
    result.save(tmp_path / "other")
    (tmp_path / "other" / "index.faiss").replace(tmp_path / "index.faiss")
    with pytest.raises(tuner.InputError, match="holds 2,400 x 24, and the run indexed 900 x 24"):
        tuner.Result.load(tmp_path).index()


def test_the_honest_no_has_no_index(tmp_path: Path) -> None:
    least = smallest_bytes(tuner.Options(recall=0.8, space=SPACE), *BASE.shape)  # without a file's header
    found = tuner.tune(BASE, recall=0.8, queries=QUERIES, space=SPACE, max_memory_bytes=least, threads=1)
    assert found.status == "not_reached"
    assert found.best is None
    with pytest.raises(tuner.InputError, match="nothing reached the target, so there is no index"):
        found.index()
    assert [path.name for path in found.save(tmp_path)] == ["report.json", "report.md", "report.html"]


def test_a_result_owns_its_files_and_a_pickle_does_not() -> None:
    found = tuner.tune(BASE[:300], recall=0.5)
    folder = vars(found)["_files"].path
    copy = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own
    del copy
    gc.collect()
    assert found.index().ntotal == 300
    del found
    gc.collect()
    assert not folder.exists()


def test_a_result_is_exported_and_checked(result: tuner.Result, few: tuner.Result, tmp_path: Path) -> None:
    text = tuner.export(result, "faiss", out=tmp_path / "index.py")
    assert (tmp_path / "index.py").read_text(encoding="utf-8") == text
    with pytest.raises(tuner.InputError, match="there already: use force"):
        tuner.export(result, "faiss", out=tmp_path / "index.py")
    with pytest.raises(tuner.InputError, match="its answer is exact"):
        tuner.export(few, "faiss")
    result.save(tmp_path)
    index = tmp_path / "index.faiss"
    checked = tuner.check(result, BASE, QUERIES, index=index, threads=1)
    assert checked.passed
    assert not tuner.check(result, BASE, QUERIES, index=index, ef_search=1, threads=1).passed
    verified = tuner.verify(tmp_path / "index.py", BASE, QUERIES, recall=0.5, threads=1)
    assert verified.verdict == "verified", verified.lines
    with pytest.raises(tuner.InputError, match="is no plain name"):
        tuner.verify(tmp_path / "index.py", BASE, name="drop table")


# ---------------------------------------------------------------- the process is somebody else's

DAY = """
import ctypes, pathlib, sys
import faiss, numpy as np
from threadpoolctl import threadpool_info
import tuner
import tuner.api

real = pathlib.Path.read_text
pathlib.Path.read_text = lambda path, encoding=None: (
    "[madvise]" if path.name == "enabled" else real(path, encoding)
)
c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

class Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd u f fsm uord".split()]

def mapped_again():
    # glibc raises the size from which on it maps memory, once such memory was freed; mallopt ends that
    if not hasattr(c, "mallinfo2"):
        return None
    c.mallinfo2.restype = Counts
    c.free(c.malloc(24 << 20))
    c.malloc_trim(0)
    before = c.mallinfo2().hblks
    block = c.malloc(20 << 20)
    after = c.mallinfo2().hblks
    c.free(block)
    return after - before

def settings():
    pools = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
    huge = c.prctl(42, 0, 0, 0, 0) if sys.platform == "linux" else None
    cores = None if sys.platform != "linux" else sorted(__import__("os").sched_getaffinity(0))
    return pools, faiss.omp_get_max_threads(), huge, cores, mapped_again()

if sys.platform == "linux":
    c.prctl(41, 0, 0, 0, 0)
faiss.omp_set_num_threads(3)
x = np.random.default_rng(0).normal(size=(600, 16)).astype("float32")
index = faiss.IndexHNSWFlat(16, 8)
index.add(x)
before = settings()
jobs = {
    "tune": lambda: tuner.tune(x, recall=0.9, threads=1),
    "tune, refused": lambda: tuner.tune(x * np.float32(1e-30), recall=0.9, metric="l2", threads=1),
    "diagnose": lambda: tuner.diagnose(index, x, threads=1),
    "diagnose, refused": lambda: tuner.diagnose(index, x[:100] + 9, x[:20] + 9, apply=1, threads=1),
}
for name, job in jobs.items():
    try:
        job()
    except tuner.InputError:
        assert "refused" in name
    assert settings() == before, (name, before, settings())
if sys.argv[1:] == ["planted"]:
    from tuner.runtime.process import dedicate_process
    dedicate_process()
    assert settings() != before
    assert settings()[-1] != before[-1] or before[-1] is None
"""


def test_jobs_leave_the_process_as_they_found_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DAY, "planted"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_check_and_verify_give_threads_back(result: tuner.Result, tmp_path: Path) -> None:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(before + 1)
    try:
        tuner.export(result, "faiss", out=tmp_path / "index.py")
        tuner.verify(tmp_path / "index.py", BASE, QUERIES, threads=1)
        assert faiss.omp_get_max_threads() == before + 1
        result.save(tmp_path)
        tuner.check(result, BASE, QUERIES, index=tmp_path / "index.faiss", threads=1)
        with pytest.raises(tuner.InputError):
            tuner.check(result, BASE + 1, QUERIES, threads=1)
        assert faiss.omp_get_max_threads() == before + 1
    finally:
        faiss.omp_set_num_threads(before)
