"""Each mistake gets one sentence (what, where, what to do) and exit code 2, and leaves no file behind."""

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.api import tune
from tuner.cli import main as cli
from tuner.data.checks import check_options
from tuner.errors import InputError, ResourceError
from tuner.space import default_space
from tuner.types import Event, Metric, Note, Options, Result, Space

N, D = 200, 8
GOOD = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)


def _save(name: str, x: Any) -> Callable[[], None]:
    return lambda: np.save(name, x)


def _write(name: str, content: bytes) -> Callable[[], None]:
    def write() -> None:
        Path(name).write_bytes(content)

    return write


def _cut(by: int) -> Callable[[], None]:
    def cut() -> None:
        np.save("x.npy", GOOD)
        Path("x.npy").write_bytes(Path("x.npy").read_bytes()[:-by])

    return cut


def _npz() -> None:
    np.savez("x.npz", left=np.ones((9, 4)), right=np.ones((9, 4)))


def _appended() -> None:
    with Path("x.npy").open("wb") as file:
        np.save(file, GOOD)
        np.save(file, GOOD)


def _nothing() -> None:
    pass


def _long_row() -> None:
    x = GOOD.copy()
    x[7] *= 1e3
    np.save("x.npy", x)


def _with(row: int | list[int], value: float) -> np.ndarray:
    x = GOOD.copy()
    x[row, 3 if value else slice(None)] = value
    return x


@dataclass(frozen=True)
class Case:
    name: str
    argv: str
    says: tuple[str, ...]
    make: Callable[[], None] = _nothing


LEVELS = (b", &%c [%s]" % (name, b", ".join([b"*%c" % (name - 1)] * 9)) for name in b"bcdefghij")
BOMB = b"M: [&a [x, x, x]" + b"".join(LEVELS) + b"]"
HEADER = b"\x93NUMPY\x01\x00"
IN = "--recall .95 "
X = IN + "x.npy"
Q = IN + "--queries x.npy base.npy"
CASES = [
    # the base file
    Case("missing file", IN + "no.npy", ("no.npy does not exist", "check the path")),
    Case("name too long", IN + "n" * 300, ("cannot be read (File name too long)",)),
    Case("queries of a name too long", IN + f"--queries {'n' * 300} base.npy", ("(File name too long)",)),
    Case("pattern of a name too long", IN + f"{'n' * 300}/*.npy", ("(File name too long)",)),
    Case("directory", IN + "folder", ("folder is a directory without files of vectors", "name one"),
         lambda: Path("folder").mkdir()),
    Case("device", IN + "/dev/null", ("/dev/null is not a regular file",)),
    Case("path through a file", IN + "base.npy/x.npy", ("base.npy/x.npy",)),
    Case("empty file", X, ("x.npy is empty", "write it again"), _write("x.npy", b"")),
    Case("text file", X, ("x.npy is not a .npy file", "np.save"), _write("x.npy", b"1 2 3\n")),
    Case("npz of two", IN + "x.npz", ("x.npz holds 2 matrices", "--column", "left 9 x 4, right 9 x 4"), _npz),
    Case("npz without that one", IN + "--column lef x.npz", ("has no array 'lef'", "left 9 x 4"), _npz),
    Case("npz called npy", X, ("damaged or truncated zip file",), _write("x.npy", b"PK\x03\x04abcd")),
    Case("csv", IN + "x.csv", ("row 1, cell 2 is 'x'",), _write("x.csv", b"1,2\n3,x\n")),
    Case("parquet", IN + "x.parquet", ("damaged or truncated Parquet",), _write("x.parquet", b"PAR1 abc")),
    Case("hdf5", IN + "x.h5", ("damaged or truncated HDF5 file",), _write("x.h5", b"\x89HDF\r\n\x1a\n")),
    Case("fvecs", IN + "x.fvecs", ("truncated or damaged",), _write("x.fvecs", b"\x08\0\0\0abcd")),
    Case("raw pickle", X, ("not a .npy file", "pickle.load"), _write("x.npy", b"\x80\x04\x95abcd")),
    Case("object array", X, ("x.npy holds pickled Python objects", "stack rows"),
         _save("x.npy", np.array([[1, "a"], [None, 2]], dtype=object))),
    Case("two arrays in one file", X, ("a second array behind that of shape (200, 8)", "np.concatenate"),
         _appended),
    Case("truncated by a byte", X, ("x.npy is truncated (6,527 of 6,528 bytes)",), _cut(1)),
    Case("truncated to its header", X, ("x.npy is truncated (128 of",), _cut(N * D * 4)),
    Case("truncated in its header", X, ("damaged or truncated header",), _cut(N * D * 4 + 30)),
    Case("truncated in its magic", X, ("truncated inside its header",), _write("x.npy", HEADER[:6])),
    Case("unknown version", X, (".npy version 9.0, which is not known",),
         _write("x.npy", b"\x93NUMPY\x09\x00" + b"\0" * 100)),
    Case("damaged header", X, ("damaged or truncated header",),
         _write("x.npy", HEADER + b"\x20\x00" + b"{'descr': (((" + b" " * 18 + b"\n")),
    Case("one dimension", X, ("has 1 dimension (200,)", "reshape(1, -1)"), _save("x.npy", GOOD[:, 0])),
    Case("three dimensions", X, ("has 3 dimensions (50, 4, 8)", "reshape(-1, d)"),
         _save("x.npy", GOOD.reshape(50, 4, 8))),
    Case("no dimension", X, ("has 0 dimensions ()",), _save("x.npy", np.float32(3))),
    Case("complex", X, ("dtype complex64", "one real number a cell"),
         _save("x.npy", GOOD * np.complex64(1j))),
    Case("int64", X, ("x.npy has dtype int64", "astype('float32')"),
         _save("x.npy", np.ones((50, 4), dtype=np.int64))),
    Case("bool", X, ("has dtype bool",), _save("x.npy", GOOD > 0)),
    Case("text values", X, ("has dtype <U2",), _save("x.npy", np.full((50, 4), "ab"))),
    Case("one row", X, ("x.npy has one row of 8", "save all of them"), _save("x.npy", GOOD[:1])),
    Case("raveled", X, ("has 1 dimension (1600,)", "rows that were raveled x.reshape(-1, d)"),
         _save("x.npy", GOOD.ravel())),
    Case("raveled into a row", X, ("x.npy is one row of 80,000 numbers", "x.reshape(-1, d)"),
         _save("x.npy", np.tile(GOOD.ravel(), 50)[None])),
    Case("structured with a field of vectors", X, ("but vectors are plain numbers", "x['vec']"),
         _save("x.npy", np.zeros(9, dtype=[("id", "i8"), ("vec", "f4", (8,))]))),
    Case("bfloat16", X, ("bfloat16 is saved so", "(x.view('uint16').astype('uint32') << 16).view('float32')"),
         _save("x.npy", np.zeros((50, 4), dtype="V2"))),
    Case("float8", X, ("has dtype |V1", "ml_dtypes"), _save("x.npy", np.zeros((50, 4), dtype="V1"))),
    Case("git-lfs pointer", X, ("x.npy is a git-lfs pointer (49 B)", "git lfs pull"),
         _write("x.npy", b"version https://git-lfs.github.com/spec/v1\noid s\n")),
    Case("index for vectors", IN + "x.faiss", ("x.faiss: it ends before the index does",),
         _write("x.faiss", b"IxF2\x80\0\0\0")),
    Case("structured", X, ("has dtype [('a'",), _save("x.npy", np.zeros((9, 9), dtype=[("a", "f4")]))),
    Case("no rows", X, ("x.npy has no rows (0, 8)",), _save("x.npy", GOOD[:0])),
    Case("no columns", X, ("x.npy has no columns (200, 0)",), _save("x.npy", GOOD[:, :0])),
    # values
    Case("NaN", X, ("x.npy has NaN or infinite", "2 rows, the first is row 17", "remove"),
         _save("x.npy", _with([17, 90], np.nan))),
    Case("infinity", X, ("x.npy has NaN or infinite", "1 row, the first is row 199"),
         _save("x.npy", _with(199, np.inf))),
    Case("float64 beyond float32", X, ("infinite values as float32 in 1 row, the first is row 3",),
         _save("x.npy", _with(3, 1.0).astype(np.float64) * np.where(np.arange(N) == 3, 1e300, 1)[:, None])),
    Case("squares overflow", X, ("overflow float32", "the first is row 5", "one constant"),
         _save("x.npy", _with(5, 1e20))),
    Case("zero vectors in most rows", IN + "--metric cosine x.npy",
         ("zero vectors", "more than half", "embed them again"),
         _save("x.npy", _with(list(range(N - 9)), 0))),
    # queries
    Case("queries missing", IN + "--queries no.npy base.npy", ("no.npy does not exist",)),
    Case("queries of other d", Q,
         ("x.npy has 7 dimensions and base.npy has 8", "same model"), _save("x.npy", GOOD[:, :7])),
    Case("one query", Q, ("x.npy has too few queries (1)", "at least 20"),
         _save("x.npy", GOOD[:1])),
    Case("NaN in queries", Q, ("x.npy has NaN or infinite", "the first is row 4"),
         _save("x.npy", _with(4, np.nan))),
    Case("zero queries under cosine", IN + "--queries x.npy --metric cosine base.npy",
         ("x.npy has zero vectors",),
         _save("x.npy", _with(4, 0))),
    Case("zero queries, cosine chosen", Q, ("x.npy has zero vectors", "row 4"),
         _save("x.npy", _with(4, 0))),
    Case("queries are the base of an npz", IN + "--queries x.npz --column left x.npz",
         ("--queries names the base itself",), _npz),
    Case("queries are the base", IN + "--queries ./base.npy base.npy", ("--queries names the base itself",)),
    Case("queries given and held out", IN + "--queries q.npy --n-queries 50 base.npy",
         ("--queries", "--n-queries")),
    Case("too few held out", IN + "--n-queries 5 base.npy", ("n_queries is 5", "at least 20")),
    Case("too many held out", IN + "--n-queries 150 base.npy", ("n_queries is 150, too many", "200 rows")),
    # numbers
    Case("no recall", "base.npy", ("Missing option '--recall'",)),
    Case("no file", IN.strip(), ("Missing argument 'FILE'",)),
    Case("two files", IN + "base.npy q.npy", ("unexpected extra argument (q.npy)",)),
    Case("recall 0", "--recall 0 base.npy", ("recall is 0", "(0, 1]")),
    Case("recall negative", "--recall=-0.5 base.npy", ("recall is -0.5", "(0, 1]")),
    Case("recall in percent", "--recall 95 base.npy", ("recall is 95", "give 0.95 for 95 %")),
    Case("recall nan", "--recall nan base.npy", ("recall is nan",)),
    Case("recall in words", "--recall high base.npy", ("'--recall'", "'high' is no number")),
    Case("k 0", IN + "--k 0 base.npy", ("k is 0", "at least 1")),
    Case("k is n", IN + "--k 200 base.npy", ("k is 200 but base.npy has only 200 rows", "below 200")),
    Case("k beyond ef_search_max", IN + "--space s.yaml --k 20 base.npy",
         ("k is 20, above the space's ef_search_max of 16",),
         _write("s.yaml", b"ef_search_max: 16")),
    Case("k a fraction", IN + "--k 2.5 base.npy", ("'--k'", "'2.5' is no whole number")),
    Case("confidence 1", IN + "--confidence 1 base.npy", ("confidence is 1", "(0.5, 1)")),
    Case("confidence .4", IN + "--confidence .4 base.npy", ("confidence is 0.4",)),
    Case("seed negative", IN + "--seed=-1 base.npy", ("seed is -1",)),
    Case("one long row under ip", "--recall .5 --metric ip x.npy",
         ("the longest row has norm", "scale them down"), _long_row),
    Case("seed of 64 bits", IN + "--seed 9223372036854775808 base.npy",
         ("seed is 9223372036854775808", "at most")),
    Case("threads without end", IN + "--threads 99999 base.npy", ("threads is 99999", "this machine has")),
    Case("threads negative", IN + "--threads=-2 base.npy", ("threads is -2",)),
    Case("memory without unit", IN + "--max-memory 600 base.npy", ("'--max-memory'", "write 600MB")),
    Case("memory 0", IN + "--max-memory 0GB base.npy", ("'--max-memory'", "above 0")),
    Case("memory a row", IN + "--max-memory 180B/row base.npy", ("'180B/row' is not a size", "180B/vector")),
    Case("latency without unit", IN + "--max-latency 400 base.npy", ("'--max-latency'", "write 400us")),
    Case("latency 0", IN + "--max-latency 0us base.npy", ("'--max-latency'", "leaves no time")),
    Case("budget in days", IN + "--time-budget 1d base.npy", ("'--time-budget'", "write 400us, 1.5ms, 90s")),
    # names
    Case("metric", IN + "--metric euclid base.npy", ("'--metric'", "'euclid' is not one of", "cosine")),
    Case("preference", IN + "--prefer cheapest base.npy", ("'--prefer'", "balanced")),
    Case("option", IN + "--max-mem 2GB base.npy", ("No such option", "--max-memory")),
    Case("space missing", IN + "--space no.yaml base.npy", ("no.yaml: cannot be read",)),
    Case("space unknown key", IN + "--space s.yaml base.npy", ("s.yaml: unknown key 'codec'", "'codecs'"),
         _write("s.yaml", b"codec: [SQ8]")),
    Case("space unknown codec", IN + "--space s.yaml base.npy",
         ("s.yaml: codecs: unknown codec 'SQ9'", "'SQ8'"),
         _write("s.yaml", b"codecs: [SQ9]")),
    Case("space syntax", IN + "--space s.yaml base.npy", ("s.yaml: is not valid YAML at line 1",),
         _write("s.yaml", b"M: [8")),
    Case("space nested without end", IN + "--space s.yaml base.npy", ("s.yaml: is nested too deeply",),
         _write("s.yaml", b"M: " + b"[" * 20_000)),
    Case("space with aliases", IN + "--space s.yaml base.npy",
         ("s.yaml: is not valid YAML", "it has aliases (*), write out what they stand for"),
         _write("s.yaml", BOMB)),
    Case("space is binary", IN + "--space base.npy base.npy", ("base.npy: is not UTF-8",)),
    # what is meant
    Case("misspelled command", "diagnos --index x.faiss base.npy",
         ("'diagnos' is no file", "the nearest command is 'diagnose'")),
    Case("letters exchanged", "rnu --recall .9 base.npy", ("nearest command is 'run'", "see tune --help")),
    Case("baseline nested without end", "check b.yaml base.npy", ("b.yaml: is no YAML text",),
         _write("b.yaml", b"data: " + b"[" * 20_000)),
    Case("baseline with aliases", "check b.yaml base.npy", ("b.yaml: is no YAML text",),
         _write("b.yaml", BOMB)),
    Case("exported file nested without end", "verify x.json base.npy", ("x.json: holds no settings",),
         _write("x.json", b'{"tune": ' + b'{"a":' * 100_000)),
    Case("exported line nested without end", "verify x.sql base.npy", ("x.sql: holds no settings",),
         _write("x.sql", b"-- tune: " + b'{"a":' * 100_000)),
    # what contradicts
    Case("dry run and resume", IN + "--dry-run --resume base.npy", ("--dry-run", "--resume")),
    Case("dry run and json", IN + "--dry-run --json base.npy", ("--dry-run", "--json")),
    Case("disk without re-ranking", IN + "--rerank-store disk --space s.yaml base.npy",
         ("rerank_store is disk", "'s' re-ranks nothing"), _write("s.yaml", b"rerank_factors: [1]")),
    Case("resume nothing", IN + "--resume base.npy", ("tune-out/base/work: no journal", "without --resume")),
    # where it goes
    Case("out is a file", IN + "--out q.npy base.npy", ("q.npy is a file", "another --out")),
    Case("out below a file", IN + "--out q.npy/a/b base.npy", ("q.npy is a file", "another --out")),
    Case("work is a file", IN + "--work q.npy base.npy", ("q.npy is a file",)),
    Case("out in /proc", IN + "--out /proc/none base.npy", ("/proc/none cannot be written", "another --out")),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("base.npy", GOOD)
    np.save("q.npy", GOOD[:30] + 1)
    return tmp_path


def _refusal(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on stderr of a command that must end with 2."""
    with pytest.raises(SystemExit) as ended:
        cli.main([*argv, "--quiet"])
    printed = capsys.readouterr()
    assert ended.value.code == 2, printed.err
    assert printed.out == ""
    assert printed.err.startswith("tune: ")
    assert printed.err.endswith("\n")
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(case: Case, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case.make()
    before = _files(folder)
    sentence = _refusal(case.argv.split(), capsys)
    for part in case.says:
        assert part in sentence
    assert _files(folder) == before


def _files(folder: Path) -> list[Path]:
    """Everything in a folder but the cache, where locks lie too."""
    return sorted(path for path in folder.rglob("*") if "cache" not in path.relative_to(folder).parts)


def test_there_are_enough_cases() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 45


@pytest.mark.usefixtures("folder")
def test_unreadable_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    opened = Path.open

    def refuse(path: Path, *mode: Any, **options: Any) -> Any:
        if path.name == "base.npy":
            raise PermissionError(13, os.strerror(13), str(path))
        return opened(path, *mode, **options)

    monkeypatch.setattr(Path, "open", refuse)
    sentence = _refusal([*IN.split(), "base.npy"], capsys)
    assert "base.npy cannot be read (Permission denied): check the path and its permissions" in sentence


def test_folder_without_permission(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: Any) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    sentence = _refusal([*IN.split(), "--out", "mine", "base.npy"], capsys)
    assert "mine cannot be written (Permission denied): choose another --out" in sentence
    assert not (folder / "mine").exists()


def test_earlier_results_survive_bad_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", _with(3, np.nan))
    kept = folder / "mine" / "report.json"
    kept.parent.mkdir()
    kept.write_text("{}")
    assert "NaN" in _refusal([*IN.split(), "--out", "mine", "--force", "x.npy"], capsys)
    assert sorted((folder / "mine").rglob("*")) == [kept]


@pytest.mark.parametrize("finished", [True, False])
def test_a_lack_of_disk_keeps_finished_stages_only(
    folder: Path, finished: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def starved(*args: Any, resume: bool, filters: object) -> Generator[Event, None, Result]:
        yield Note("planning")
        if finished:
            (args[4] / "truth.stage").touch()
        raise ResourceError("the plan needs 3 GB of disk and 1 GB is free: use another --work")

    monkeypatch.setattr("tuner.cli.run.sweep_or_sample", starved)
    assert "3 GB of disk" in _refusal([*IN.split(), "base.npy"], capsys)
    assert (folder / "tune-out").exists() == finished


# ---------------------------------------------------------------- the same from Python


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"metric": "dot"}, "metric is 'dot', but it is one of auto, cosine, ip, l2: give one of them"),
        ({"prefer": "x"}, "prefer is 'x', but it is one of balanced, fastest, smallest: give one of them"),
        (
            {"rerank_store": "floppy"},
            "rerank_store is 'floppy', but it is one of memory, disk: give one of them",
        ),
        ({"baseline": "annoy"}, "baseline is 'annoy', but it is one of graph, hnswlib: give one of them"),
        ({"k": 2.5}, "k is 2.5, but it is a whole number: give one"),
        ({"seed": 0.5}, "seed is 0.5, but it is a whole number: give one"),
        ({"threads": "2"}, "threads is '2', but it is a whole number: give one"),
        (
            {"space": Space(codecs=())},
            "the space has no codecs: give some, or leave them out for the default",
        ),
    ],
)
def test_options_that_only_python_can_give(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        check_options(Options(**{"recall": 0.9, "space": default_space(), **changes}))
    assert str(refused.value) == sentence


def test_options_of_numpy_are_options() -> None:
    given: dict[str, Any] = {"k": np.int64(5), "seed": np.int32(1), "threads": np.uint8(2)}
    check_options(Options(recall=0.9, space=default_space(), **given))


@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_rows_too_short_to_be_squared(metric: Metric) -> None:
    short = (GOOD / np.linalg.norm(GOOD, axis=1, keepdims=True) * 1e-20).astype(np.float32)
    with pytest.raises(InputError, match=r"the longest row has norm 1e-20, too short .* by a constant"):
        tune(short, recall=0.9, metric=metric)
