"""What ``tune doctor`` tries: each thing is really used, in a process of its own that may crash or hang."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tuner.cli.extras import PACKAGE, extras_of, modules_of, requires_of
from tuner.data.vectors import open_vectors
from tuner.engines import Deployment, EngineConfig, EngineProcess, check_config, find_engine
from tuner.engines.registry import OURS
from tuner.errors import TunerError
from tuner.runtime import child
from tuner.runtime.steps import result_of
from tuner.text import one_line
from tuner.types import FloatArray, Line

LONGEST_S = 120.0
"""Seconds that a trial may take: an engine that starts a server on a busy machine takes ten."""
ROWS, DIMS, K, LEAST_FOUND = 400, 32, 10, 0.5
"""A search of a small index that finds less than this share of the true neighbours does not work."""
TRIED = "tried "
"""What the line of a child's answer begins with; engines print what they like around it."""


def tried(name: str, title: str, longest_s: float = LONGEST_S) -> Line:
    """Return whether a trial worked, as a line of a verdict.

    Args:
        name: what to try: ``core``, or an extra of pyproject.toml.
        title: name of the line.
        longest_s: seconds after which it counts as hanging, and is ended with all that it started.
    """
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        child.command(__name__, name),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            printed, complaint = process.communicate(timeout=longest_s)
        except subprocess.TimeoutExpired:
            return Line(title, "fail", f"it did not end within {longest_s:g} s")
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    answers = [line.removeprefix(TRIED) for line in printed.splitlines() if line.startswith(TRIED)]
    if process.returncode == 0 and answers:
        return Line(title, "pass", json.loads(answers[-1]))
    last = (complaint.strip() or f"it ended with exit status {process.returncode}").splitlines()[-1]
    return Line(title, "fail", one_line(last)[:300])


def main() -> None:
    """Try what the argument names; end with 1 and one sentence on stderr if it does not work."""
    name = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="tune-doctor-") as folder:
        try:
            answer = trial_of(name)(Path(folder))
        except Exception as error:  # noqa: BLE001 - whatever fails is what was asked for
            sentence = str(error) if isinstance(error, TunerError) else f"{type(error).__name__}: {error}"
            sys.exit(one_line(sentence))
    sys.stdout.write(f"\n{TRIED}{json.dumps(answer)}\n")


def trial_of(name: str) -> Callable[[Path], str]:
    """Return the trial of that name: a function of an empty folder that says what worked."""
    own: dict[str, Callable[[Path], str]] = {
        "core": try_core,
        "formats": try_formats,
        "bench": try_bench,
        "docs": try_docs,
        "test": try_tests,
    }
    if name in OURS:
        return partial(try_engine, name)
    return own.get(name) or partial(try_imports, name)


def planted() -> tuple[FloatArray, FloatArray]:
    """Return rows (400, 32) of length 1, and queries near the first 50 of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, DIMS))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    queries = x[:50] + 0.01 * rng.normal(size=(50, DIMS))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return x.astype(np.float32), queries.astype(np.float32)


def check_found(ids: Any, x: FloatArray, queries: FloatArray) -> None:
    """Raise AssertionError if a search (nq, k) found too few of the true neighbours."""
    true = np.argsort(-(queries @ x.T), axis=1)[:, :K]
    pairs = zip(np.asarray(ids).tolist(), true.tolist(), strict=True)
    found = float(np.mean([len(set(mine) & set(right)) / K for mine, right in pairs]))
    if found < LEAST_FOUND:
        raise AssertionError(f"its search found {found:.0%} of the true neighbours of {ROWS} rows")


def try_core(folder: Path) -> str:
    """Build, write, read and search indexes of faiss and hnswlib."""
    import faiss  # noqa: PLC0415 - what is tried is imported by its trial
    import hnswlib  # noqa: PLC0415

    x, queries = planted()
    built = faiss.IndexHNSWSQ(DIMS, faiss.ScalarQuantizer.QT_8bit, 8, faiss.METRIC_L2)
    built.train(x)
    built.add(x)
    faiss.write_index(built, str(folder / "index.faiss"))
    check_found(faiss.read_index(str(folder / "index.faiss")).search(queries, K)[1], x, queries)
    other = hnswlib.Index(space="l2", dim=DIMS)
    other.init_index(max_elements=ROWS, M=8, ef_construction=40)
    other.add_items(x)
    check_found(other.knn_query(queries, k=K)[0], x, queries)
    return "faiss and hnswlib built, wrote, read and searched an index"


def try_formats(folder: Path) -> str:
    """Write a file of each format with its own library, and read it as a run does."""
    import fsspec  # noqa: PLC0415
    import h5py  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import feather, parquet  # noqa: PLC0415
    from safetensors.numpy import save_file  # noqa: PLC0415

    x, _ = planted()
    table = pa.table({"embedding": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), DIMS)})
    parquet.write_table(table, folder / "x.parquet")
    feather.write_feather(table, str(folder / "x.arrow"))
    save_file({"embedding": x}, folder / "x.safetensors")
    with h5py.File(folder / "x.hdf5", "w") as file:
        file["train"] = x
    with fsspec.filesystem("memory").open("/doctor.npy", "wb") as file:
        np.save(file, x)
    files = [str(folder / name) for name in ("x.parquet", "x.arrow", "x.safetensors", "x.hdf5")]
    for source in (*files, "memory://doctor.npy"):
        read = open_vectors(source, "base").rows(np.arange(ROWS))
        if not np.array_equal(read, x):
            raise AssertionError(f"{source} was read otherwise than it was written")
    return "Parquet, Arrow, HDF5, safetensors and an address were written and read"


def try_engine(name: str, folder: Path) -> str:
    """Build and search a small index in the engine, or hold a configuration against the vendor's client."""
    engine = find_engine(name)
    usual = engine.capabilities.defaults
    config = EngineConfig(
        engine=name,
        codec=usual.codec,
        d=DIMS,
        metric="cosine",
        k=K,
        M=usual.M,
        ef_construction=usual.ef_construction,
        ef_search=max(64, usual.ef_search),
        oversampling=usual.oversampling,
    )
    check_config(engine, config)
    if engine.open is None:
        return "the vendor's client takes the default configuration; it does not run here"
    x, queries = planted()
    with EngineProcess(config, Deployment(folder=folder, n=ROWS)) as running:
        result_of(running.load(open_vectors(x, "base"), None))
        running.set_search(config.ef_search, config.oversampling)
        check_found(running.search(queries, K).ids, x, queries)
        version = running.applied().version
    return f"{version} built and searched an index"


def try_imports(name: str, _: Path) -> str:
    """Import every package of an extra that has no trial of its own."""
    requirements = next(each.requirements for each in extras_of(requires_of(PACKAGE)) if each.name == name)
    modules = modules_of(requirements)
    for module in modules:
        import_module(module)
    return f"imported: {', '.join(modules)}"


def try_bench(folder: Path) -> str:
    """Draw a plot, and let a search for parameters make one try."""
    import matplotlib as mpl  # noqa: PLC0415
    import optuna  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib.figure import Figure  # noqa: PLC0415

    Figure().savefig(folder / "plot.svg")
    optuna.create_study().optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    return "matplotlib drew a plot, optuna made a try"


def try_docs(folder: Path) -> str:
    """Build a page of documentation."""
    from sphinx.cmd.build import build_main  # noqa: PLC0415

    (folder / "conf.py").write_text(
        "extensions = ['myst_parser', 'sphinx_click', 'sphinx_copybutton']\nhtml_theme = 'furo'\n"
    )
    (folder / "index.md").write_text("# A page\n")
    if build_main(["-q", "-b", "html", str(folder), str(folder / "out")]):
        raise AssertionError("Sphinx could not build a page")
    return "Sphinx built a page"


def try_tests(folder: Path) -> str:
    """Run a test with pytest on two processes."""
    import pytest  # noqa: PLC0415

    (folder / "test_doctor.py").write_text("def test_it():\n    assert True\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    if pytest.main(["-q", "-n", "2", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]):
        raise AssertionError("pytest could not run a test on two processes")
    return "pytest ran a test on two processes"
