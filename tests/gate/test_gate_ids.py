"""The gate over an index whose ids are keys of a database."""

from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
from gated import Gate, N, Run, statuses

from benchmarks.gate.faults import missing_vectors
from tuner.gate.baseline import write_baseline

KEYS = np.random.default_rng(8).choice(2**62, N, replace=False)


def keyed(path: Path, rows: np.ndarray | None = None) -> None:
    """Give the vectors of an index the keys of their rows."""
    index = faiss.read_index(str(path))
    mapped = faiss.downcast_index(index)
    if rows is None:
        rows = np.arange(N)
        index.ntotal = 0  # faiss maps only what looks empty
        mapped = faiss.IndexIDMap2(index)
        index.ntotal = mapped.ntotal = N
    faiss.copy_array_to_vector(KEYS[rows], mapped.id_map)
    faiss.write_index(mapped, str(path))


def test_keys_are_rows_by_the_list(gate: Gate, tmp_path: Path, run: Run) -> None:
    index, ids = tmp_path / "keys.faiss", tmp_path / "ids.txt"
    index.write_bytes(gate.index.read_bytes())
    keyed(index)
    ids.write_text("".join(f"{key}\n" for key in KEYS.tolist()))
    arguments = ("check", str(gate.folder / "baseline.yaml"), *gate.files, "--threads", "1")
    arguments += ("--index", str(index))
    code, _, message = run(*arguments)
    assert code == 2
    assert "none of its ids is a row of" in message
    assert "with --ids the list of its ids" in message
    code, out, message = run(*arguments, "--ids", str(ids), "--fail-on", "memory:20%")
    assert code == 0, out + message


def test_rows_that_the_index_lacks_are_counted(gate: Gate, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.faiss"
    missing_vectors(gate.index, gate.x, damaged)
    found = gate.check(index=damaged)
    assert statuses(found)["content"] == "fail"
    text = next(line.text for line in found.lines if line.name == "content")
    assert "; 100 rows of the base are not in it" in text


def test_rows_that_were_deleted_on_purpose_are_no_loss(gate: Gate, tmp_path: Path, run: Run) -> None:
    """Documents gone from the table and from the index, the file of vectors as it was."""
    index, ids = tmp_path / "keys.faiss", tmp_path / "ids.npy"
    missing_vectors(gate.index, gate.x, index)
    without = faiss.read_index(str(index))
    left = faiss.vector_to_array(faiss.downcast_index(without).id_map)
    keyed(index, left)
    np.save(ids, np.where(np.isin(np.arange(N), left), KEYS, -1))
    # another graph without them: what it finds less must not miss the target surely
    write_baseline(replace(gate.frozen, recall=0.85), tmp_path / "baseline.yaml")
    code, out, message = run(
        *("check", str(tmp_path / "baseline.yaml"), *gate.files, "--threads", "1", "--new-data"),
        *("--index", str(index), "--ids", str(ids), "--fail-on", "memory:20%", "--fail-on", "ndis:50%"),
        *("--fail-on", "recall:0.05"),
    )
    text = " ".join(out.split())
    assert "100 rows of" in text, out + message
    assert "deleted on purpose" in text
    assert "rows of the base are not in it" not in text
    assert code == 0, out + message
