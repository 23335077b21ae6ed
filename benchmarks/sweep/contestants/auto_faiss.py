"""autofaiss (criteo): its own choice of index at the memory that ours took.

autofaiss 2.18.0 needs numpy<2, pandas<3, pyarrow<30, fire<0.7 and embedding-reader<2, so it cannot be
installed beside numpy 2. It allows any faiss-cpu below 2: 1.15.1 installs with it in an environment of its
own, with a pyarrow that still runs on numpy 1 (pyarrow 26 does not, although pip takes it)::

    pip install autofaiss 'pyarrow<20' faiss-cpu==1.15.1 .

Name that environment's Python with ``--interpreter autofaiss=PATH``: the engine is then the same. autofaiss
has no recall target: the one search parameter of its index is fitted to it afterwards.
"""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path

import faiss
import numpy as np
import psutil

from benchmarks.sweep.answers import ANSWER, INDEX, Answer, NoAnswerError, Task, read_answer
from benchmarks.sweep.contestants.native import certified_ef, pose, remove_scratch
from benchmarks.sweep.spending import spent
from tuner.index.assemble import metric_transform, write
from tuner.index.projections import behind
from tuner.runtime.process import use_threads
from tuner.space import default_space
from tuner.sweep.ef_search import EfResult, judged

NEEDS = (
    "autofaiss 2.18.0 needs numpy<2, pandas<3, pyarrow<30, fire<0.7 and embedding-reader<2; with faiss-cpu "
    "1.15.1, numpy 1.26 and pyarrow<20 it installs in an environment of its own: name its Python with "
    "--interpreter autofaiss=PATH"
)
WITHOUT_OURS = 0.5
"""Share of the float32 vectors' bytes that it may take where ours has not answered."""


def run(task: Task, out: Path) -> Answer:
    """Return the index that autofaiss chooses; nprobe or efSearch is fitted as everyone's."""
    try:
        build_index = import_module("autofaiss").build_index
    except ImportError as error:
        raise NoAnswerError(f"{error} with numpy {np.__version__}: {NEEDS}") from None
    ours = read_answer(out.parent / "ours" / ANSWER)
    limit = ours.memory_bytes if ours is not None else round(WITHOUT_OURS * 4 * task.n * task.d)
    problem = pose(task, default_space(), out)
    inner, _ = build_index(
        np.array(problem.base.x),
        save_on_disk=False,
        max_index_memory_usage=f"{limit}B",
        current_memory_available=f"{psutil.virtual_memory().available}B",
        metric_type="l2",
        nb_cores=task.threads,
        verbose=logging.WARNING,
    )
    use_threads(task.threads)
    step = metric_transform(problem.base.metric, problem.raw.shape[1])
    index = inner if step is None else behind([step], inner)
    kind = type(_innermost(inner)).__name__
    search_param, least = ("nprobe", 1) if "IVF" in kind else ("efSearch", task.k)
    parameters = faiss.ParameterSpace()

    def at(value: int) -> EfResult:
        parameters.set_index_parameter(inner, search_param, value)
        return judged(problem, value, problem.hits(index.search(problem.raw, task.k)[1]), 0.0, 0.0)

    fitted = certified_ef(problem, at, least)
    parameters.set_index_parameter(inner, search_param, fitted.ef_search)
    size = write(index, out / INDEX)
    remove_scratch(out)
    cost = spent()
    return Answer(
        contestant="autofaiss",
        label=kind,
        codec=kind,
        M=0,
        ef_construction=0,
        ef_search=fitted.ef_search,
        memory_bytes=size,
        cpu_s=cost.cpu_s,
        wall_s=cost.wall_s,
        peak_rss_bytes=cost.peak_rss_bytes,
        n_builds=1,
        reached=fitted.passes,
        own_recall=fitted.recall,
        note=f"asked for {limit:,} bytes; the figure under ef is {search_param}; numpy {np.__version__}",
    )


def _innermost(index: faiss.Index) -> faiss.Index:
    index = faiss.downcast_index(index)
    return faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
