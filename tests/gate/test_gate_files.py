"""A damaged index cannot be judged, and says so in one sentence."""

from pathlib import Path

import faiss
import pytest
from gated import D, Gate, Run

from benchmarks.gate.faults import inner


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "no such file"), (b"nonsense", "is no index of faiss"), (b"", "is empty")],
)
def test_a_broken_index_cannot_be_judged(
    gate: Gate, tmp_path: Path, content: bytes | None, sentence: str, run: Run
) -> None:
    path = tmp_path / "index.faiss"
    if content is not None:
        path.write_bytes(content)
    code, _, message = run(
        "check", str(gate.folder / "baseline.yaml"), *gate.files, "--index", str(path), "--quiet"
    )
    assert code == 2
    assert sentence in message


def test_a_truncated_index_and_one_of_other_columns(gate: Gate, tmp_path: Path, run: Run) -> None:
    cut = tmp_path / "cut.faiss"
    cut.write_bytes(gate.index.read_bytes()[:100_000])
    other = tmp_path / "other.faiss"
    faiss.write_index(faiss.IndexHNSWFlat(D + 1, 8), str(other))
    for path, sentence in ((cut, "so it was cut"), (other, "takes vectors of 33 columns")):
        code, _, message = run("check", str(gate.folder / "baseline.yaml"), *gate.files, "--index", str(path))
        assert code == 2
        assert sentence in message


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
    code, _, message = run(*arguments, "--index", str(tmp_path / "damaged.faiss"))
    assert code == 2
    assert sentence in message or "faiss cannot read it" in message
