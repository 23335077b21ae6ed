"""What was written is compared with what was measured under the same conditions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest

from tuner.sweep import index_file

K = 2


@pytest.mark.parametrize("same", [True, False])
def test_both_searches_have_one_thread(
    same: bool, tmp_path: Path, threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """How a rotation rounds depends on the threads that share it: of near ties another would be first."""
    of_each: list[int] = []

    def search(queries: Any, k: int) -> tuple[None, Any]:
        of_each.append(faiss.omp_get_max_threads())
        return None, np.zeros((len(queries), k), dtype=np.int64)

    searchable: Any = SimpleNamespace(index=SimpleNamespace(search=search))
    problem: Any = SimpleNamespace(
        base=SimpleNamespace(labels=None, own_ids=None, copies=None),
        options=SimpleNamespace(k=K),
        raw=np.zeros((9, 4), dtype=np.float32),
        sample=lambda n: np.arange(9),
    )
    monkeypatch.setattr(index_file, "delivered", lambda *_: (None, None, None))
    monkeypatch.setattr(index_file, "write", lambda *_: 77)
    fresh = np.full((9, K), 0 if same else 1)
    monkeypatch.setattr(index_file, "_search_freshly", lambda *_, **__: fresh)
    threads(2)
    written = index_file.write_and_check(problem, searchable, tmp_path)
    assert of_each == [1]
    assert "omp_set_num_threads(1)" in index_file.FRESH_PROCESS
    assert faiss.omp_get_max_threads() == 2
    assert written == index_file.WrittenIndex(index_bytes=77, same_ids=float(same))


def test_a_file_of_the_users_is_not_taken_for_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``tune export --to faiss -o faiss.py`` leaves one where the next run begins."""
    monkeypatch.chdir(tmp_path)
    Path("faiss.py").write_text("raise SystemExit(3)\n")
    x = np.eye(8, dtype=np.float32)
    flat = faiss.IndexFlatL2(8)
    flat.add(x)
    faiss.write_index(flat, "index.faiss")
    np.save("queries.npy", x)
    arguments = ["index.faiss", "", "1", "", "queries.npy", "ids.npy", "1"]
    subprocess.run([sys.executable, "-c", index_file.FRESH_PROCESS, *arguments], check=True)
    assert np.load("ids.npy")[:, 0].tolist() == list(range(8))
