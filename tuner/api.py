"""The sweep and the diagnosis as functions."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.vectors import open_vectors
from tuner.diagnosis import DiagnoseOptions, Diagnosis
from tuner.diagnosis import diagnose as run_diagnosis
from tuner.runtime.machine import borrowed_process
from tuner.runtime.steps import result_of
from tuner.space import checked_space, default_space, load_space
from tuner.sweep.run import finish, sweep
from tuner.types import Metric, Options, Result, Space


def tune(
    base: NDArray[Any] | str | Path,
    *,
    recall: float,
    queries: NDArray[Any] | str | Path | None = None,
    out: str | Path | None = None,
    space: Space | str | Path | None = None,
    **options: Any,
) -> Result:
    """Return the parameters that reach ``recall`` on these vectors, with all that was measured.

    Args:
        base: (n, d) float32, float16, float64, int8 or uint8, or a .npy file.
        recall: target recall@k in (0, 1].
        queries: (nq, d) likewise; None holds some rows of the base out.
        out: folder for ``index.faiss``; None writes none that lasts.
        space: what to sweep, as an object or a YAML file.
        **options: further fields of ``tuner.types.Options``.

    Raises:
        InputError: data or options cannot be used as they are.
        ResourceError: too little memory, disk or time.
    """
    chosen = load_space(space) if isinstance(space, (str, Path)) else checked_space(space or default_space())
    asked = Options(recall=recall, space=chosen, **options)
    vectors = open_vectors(_openable(base), "base")
    given = None if queries is None else open_vectors(_openable(queries), "queries")
    with tempfile.TemporaryDirectory(prefix="tune-") as scratch:
        folder = Path(scratch) if out is None else Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(scratch, "work")
        with borrowed_process():
            result = result_of(sweep(vectors, given, asked, folder, work))
        finish(work)
        return result


def diagnose(
    index: Any,
    base: NDArray[Any] | str | Path,
    queries: NDArray[Any] | str | Path | None = None,
    *,
    recall: float = 0.95,
    ef_search: int | None = None,
    hnswlib_space: Metric | None = None,
    apply: int = 0,
    out: str | Path | None = None,
    force: bool = False,
    **options: Any,
) -> Diagnosis:
    """Return where an index loses recall, and what mends it.

    Args:
        index: a faiss index, or a file of faiss, hnswlib or usearch.
        base: (n, d) vectors that it was made of, or a .npy file.
        queries: (nq, d) likewise; None asks for rows of the base.
        recall: target recall@k in (0, 1].
        ef_search: ef_search or nprobe, instead of what the index says.
        hnswlib_space: of an hnswlib file, which does not say it.
        apply: number of the prescription to apply, from 1, written to ``out``.
        force: replace a file that is there.
        **options: further fields of ``tuner.types.Options``.

    Raises:
        InputError: index, data and options do not fit.
    """
    asked = DiagnoseOptions(
        index=Path(index) if isinstance(index, (str, Path)) else index,
        space=hnswlib_space,
        ef_search=ef_search,
        apply=apply,
        out=None if out is None else Path(out),
        force=force,
    )
    wanted = Options(recall=recall, space=default_space(), **options)
    vectors = open_vectors(_openable(base), "base")
    given = None if queries is None else open_vectors(_openable(queries), "queries")
    with borrowed_process(), tempfile.TemporaryDirectory(prefix="tune-diagnose-") as work:
        return result_of(run_diagnosis(vectors, given, asked, wanted, Path(work)))


def _openable(source: Any) -> NDArray[Any] | str | Path:
    return source if isinstance(source, (str, Path, np.ndarray)) else np.asarray(source)
