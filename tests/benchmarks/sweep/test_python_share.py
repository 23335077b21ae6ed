"""Samples are told apart by their innermost frame, and the share of our own Python is what was planted."""

import pytest
from click.testing import CliRunner

from benchmarks.common import ROOT
from benchmarks.sweep import python_share
from benchmarks.sweep.python_share import INTERPRETER, NATIVE, OTHER_PYTHON, OURS, WAITING, counted, kind_of

MAIN = "<module> (<string>:1);sweep (tuner/sweep/run.py:70)"


@pytest.mark.parametrize(
    ("innermost", "kind"),
    [
        ("scan (tuner/data/profile.py:40)", OURS),
        ("scan (/somewhere/tuner/data/profile.py:40)", OURS),
        ("search (faiss/class_wrappers.py:329)", OTHER_PYTHON),
        ("_find_spec (<frozen importlib._bootstrap>:1072)", OTHER_PYTHON),
        ("PyObject_GetAttr (libpython3.11.so.1.0)", INTERPRETER),
        ("gc_collect_main (python3.11)", INTERPRETER),
        ("0x7f488e84524a (libgomp-24e2ab19.so.1.0.0)", WAITING),
        ("blas_thread_server (libscipy_openblas64_-32a4b2a6.so)", WAITING),
        ("faiss::fvec_L2sqr(float const*, float const*, unsigned long) (libfaiss.so)", NATIVE),
        ("_mt19937_double (numpy/random/_mt19937.cpython-311-x86_64-linux-gnu.so)", NATIVE),
        ("0x7f488e84524a (libc.so.6)", NATIVE),
    ],
)
def test_a_sample_belongs_to_its_innermost_frame(innermost: str, kind: str) -> None:
    assert kind_of(f"{MAIN};{innermost}") == kind


def test_the_share_is_of_all_samples() -> None:
    counts = counted([f"{MAIN} 3", f"{MAIN};gc (python3.11) 1", f"{MAIN};knn (libfaiss.so) 96", ""])
    lines = list(python_share.report(counts))
    assert lines[0] == "# Python of our own: 4.0% of the samples, within the 5% that are allowed"
    counts[OURS] += 10
    assert "12.7% of the samples, above the 5%" in next(python_share.report(counts))


def test_without_py_spy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("sys.executable", str(ROOT / "no-such-folder" / "python"))
    data = ROOT / "datasets" / "docs-minilm-384"
    words = [str(data / "base.npy"), str(data / "queries.npy"), "--out", "never.md"]
    ran = CliRunner().invoke(python_share.main, words)
    assert ran.exit_code == 2
    assert "pip install py-spy" in ran.output
