"""The contract of what is delivered: every codec, metric and re-ranking store, as one index for raw queries.

Its bytes are those predicted, its ids survive writing and reading, they are rows of the user's file, and
its recall in the user's own metric is the codec's.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
from conftest import M_MAX, NQ, D, K, World, file_limit

from tuner.data.base import prepared_queries
from tuner.errors import InputError
from tuner.index.assemble import (
    Encoded,
    SearchableIndex,
    delivered,
    metric_transform,
    original_rows,
    predict_memory,
    serve,
    write,
)
from tuner.index.codecs import Cut
from tuner.types import DEFAULT_CODECS, Configuration, IdArray, Metric, StoreAt

METRICS: tuple[Metric, ...] = ("l2", "cosine", "ip")
EF_SEARCH = 700
RERANKINGS: tuple[tuple[str | None, int, StoreAt], ...] = (
    (None, 1, "memory"),
    *((store, 4, at) for store in ("fp32", "fp16", "SQ8") for at in ("memory", "disk")),
)
# Recall@10 that each codec must have, found less .02 (.05 below .9): by l2, cosine and ip without re-ranking,
# then the same with 4 x k re-ranked. Inner product is hard on low bits, since the added column dwarfs the
# others, and TurboQuant cannot code it at all, being made for rows of norm 1.
FLOORS: dict[str, tuple[float, float, float, float, float, float]] = {
    "fp32": (0.98, 0.98, 0.97, 0.96, 0.97, 0.94),
    "fp16": (0.98, 0.98, 0.96, 0.96, 0.97, 0.94),
    "bf16": (0.97, 0.97, 0.94, 0.96, 0.97, 0.94),
    "SQ8": (0.96, 0.97, 0.94, 0.96, 0.97, 0.94),
    "SQ6": (0.91, 0.94, 0.85, 0.96, 0.97, 0.94),
    "SQ4": (0.70, 0.76, 0.61, 0.96, 0.97, 0.90),
    "tqmse4": (0.78, 0.77, 0.05, 0.96, 0.97, 0.15),
    "tqmse2": (0.49, 0.47, 0.06, 0.89, 0.85, 0.23),
    "tqmse1": (0.15, 0.22, 0.12, 0.40, 0.52, 0.35),
    "RaBitQ1": (0.25, 0.21, 0.14, 0.60, 0.54, 0.36),
    "RaBitQ2": (0.50, 0.46, 0.36, 0.90, 0.85, 0.65),
    "RaBitQ4": (0.79, 0.78, 0.70, 0.96, 0.97, 0.90),
    "RaBitQ8": (0.96, 0.97, 0.93, 0.96, 0.97, 0.93),
    "PQd/4x8": (0.58, 0.61, 0.42, 0.93, 0.95, 0.90),
    "PQd/8x8": (0.38, 0.44, 0.28, 0.75, 0.81, 0.66),
    "PQd/2x4": (0.53, 0.55, 0.23, 0.90, 0.91, 0.77),
    "OPQd/4x8": (0.64, 0.61, 0.49, 0.94, 0.95, 0.81),
}


def configuration_of(
    world: World,
    codec: str,
    reranking: tuple[str | None, int, StoreAt],
    *,
    M: int = M_MAX,
    cut: Cut = "none",
    dims: int | None = None,
) -> Configuration:
    store, factor, at = reranking
    return Configuration(
        M=M,
        ef_construction=100,
        codec=codec,
        dims=world.base.d if dims is None else dims,
        cut=cut,
        rerank=store,
        rerank_factor=factor,
        rerank_at=at,
    )


def served_of(world: World, encoded: Callable[..., Encoded], configuration: Configuration) -> SearchableIndex:
    codec = encoded(world.metric, configuration.codec, configuration.cut, configuration.dims)
    store = encoded(world.metric, configuration.rerank) if configuration.rerank else None
    searchable = serve(configuration, world.links, world.links_path, codec, store, world.base)
    searchable.set_ef(EF_SEARCH)
    return searchable


def written_and_read(searchable: SearchableIndex, world: World, folder: Path) -> tuple[IdArray, int, int]:
    """Return ids (nq, K) as a user gets them with faiss alone, and the bytes of index and store."""
    index, store, kept = delivered(searchable, world.base.rows)
    index_bytes = write(index, folder / "index.faiss")
    read = faiss.read_index(str(folder / "index.faiss"))
    store_bytes = 0
    if store is not None:
        store_bytes = write(store, folder / "rerank.faiss")
        read_store = faiss.read_index(str(folder / "rerank.faiss"), faiss.IO_FLAG_MMAP_IFC)
        kept = (kept, read, read_store)
        read = faiss.IndexRefine(read, read_store)
        read.k_factor = float(searchable.configuration.rerank_factor)
    assert not list(folder.glob("*.partial"))
    ids = read.search(world.raw, K)[1]
    return (original_rows(ids, world.base) if store is not None else ids), index_bytes, store_bytes


ALL_WORLDS = pytest.mark.parametrize(
    ("metric", "held_out"), [(metric, held_out) for metric in METRICS for held_out in (False, True)]
)
ALL_CODECS = pytest.mark.parametrize("codec", DEFAULT_CODECS)
ALL_RERANKINGS = pytest.mark.parametrize(
    "reranking", RERANKINGS, ids=["none", *(f"{store}-{at}" for store, _, at in RERANKINGS[1:])]
)


def test_the_floors_are_of_the_default_space() -> None:
    assert tuple(FLOORS) == DEFAULT_CODECS


@ALL_RERANKINGS
@ALL_WORLDS
@ALL_CODECS
def test_the_contract(
    *,
    world: Callable[..., World],
    encoded: Callable[..., Encoded],
    tmp_path: Path,
    codec: str,
    metric: Metric,
    held_out: bool,
    reranking: tuple[str | None, int, StoreAt],
) -> None:
    one = world(metric, held_out)
    configuration = configuration_of(one, codec, reranking)
    searchable = served_of(one, encoded, configuration)
    ids = searchable.index.search(one.raw, K)[1]
    read_ids, index_bytes, store_bytes = written_and_read(searchable, one, tmp_path)

    np.testing.assert_array_equal(read_ids, original_rows(ids, one.base))

    store = encoded(metric, configuration.rerank).encoder if configuration.rerank else None
    memory = predict_memory(configuration, encoded(metric, codec).encoder, store, one.links, one.base)
    assert memory.resident_bytes == index_bytes
    on_disk = configuration.rerank_at == "disk"
    assert memory.ids_bytes == (8 * one.base.n if held_out and not on_disk else 0)
    if store is not None:
        assert (memory.disk_bytes if on_disk else memory.rerank_bytes) == one.base.n * store.codec.code_bytes
    assert 0 <= store_bytes - memory.disk_bytes < 2048  # header, transforms and SQ8's ranges

    recall = one.recall(read_ids)
    assert recall >= FLOORS[codec][METRICS.index(metric) + (0 if store is None else 3)]


@pytest.mark.parametrize("other", METRICS)
@pytest.mark.parametrize("metric", METRICS)
def test_an_index_of_another_metric_would_be_below_every_good_floor(
    world: Callable[..., World], encoded: Callable[..., Encoded], metric: Metric, other: Metric
) -> None:
    """The planted fault: the answers of one metric's fp32 index, judged by another metric."""
    one = world(metric)
    ids = served_of(one, encoded, configuration_of(one, "fp32", RERANKINGS[0])).index.search(one.raw, K)[1]
    found = world(other).recall(ids)
    assert found >= 0.98 if other == metric else found < 0.6


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("codec", ["fp32", "SQ8", "RaBitQ4"])
@pytest.mark.parametrize(("cut", "dims"), [("pca", 24), ("truncate", 24), ("pca", 13)])
@pytest.mark.parametrize("held_out", [False, True])
def test_the_contract_of_a_cut(
    *,
    world: Callable[..., World],
    encoded: Callable[..., Encoded],
    tmp_path: Path,
    metric: Metric,
    codec: str,
    cut: Cut,
    dims: int,
    held_out: bool,
) -> None:
    one = world(metric, held_out)
    recalls = []
    for reranking in (RERANKINGS[0], ("fp16", 16, "memory"), ("fp16", 16, "disk")):
        configuration = configuration_of(one, codec, reranking, cut=cut, dims=dims)
        searchable = served_of(one, encoded, configuration)
        ids = searchable.index.search(one.raw, K)[1]
        read_ids, index_bytes, _ = written_and_read(searchable, one, tmp_path)
        np.testing.assert_array_equal(read_ids, original_rows(ids, one.base))
        encoder = encoded(metric, codec, cut, dims).encoder
        store = encoded(metric, "fp16").encoder if configuration.rerank else None
        assert (
            predict_memory(configuration, encoder, store, one.links, one.base).resident_bytes == index_bytes
        )
        recalls.append(one.recall(read_ids))
    assert recalls[1] == recalls[2] > recalls[0]
    # a cut of ip's prepared space breaks what the added column is for: a bad cut, and measured as one
    assert recalls[1] > (0.1 if metric == "ip" else 0.9)


@pytest.mark.parametrize("M", [4, M_MAX])
def test_links_are_counted_slot_by_slot(
    world: Callable[..., World], encoded: Callable[..., Encoded], M: int
) -> None:
    one = world("l2")
    memory = predict_memory(
        configuration_of(one, "fp32", RERANKINGS[0], M=M),
        encoded("l2", "fp32").encoder,
        None,
        one.links,
        one.base,
    )
    upper = int((one.links.levels - 1).sum())
    assert upper > 20
    assert memory.codes_bytes == 4 * D * one.base.n
    assert memory.links_bytes == 4 * (2 * M * one.base.n + M * upper)
    assert memory.levels_bytes == (4 + 8) * one.base.n
    assert (memory.ids_bytes, memory.rerank_bytes, memory.disk_bytes) == (0, 0, 0)
    assert 0 < memory.overhead_bytes < 1024


# ---------------------------------------------------------------- multi-bit RaBitQ


@pytest.mark.parametrize("codec", ["RaBitQ4", "RaBitQ8"])
def test_the_wrong_search_method_would_be_seen(
    world: Callable[..., World], encoded: Callable[..., Encoded], tmp_path: Path, codec: str
) -> None:
    """The planted fault: a graph's own search method where two steps are needed, lost when it is read."""
    one = replace(world("l2"), raw=np.concatenate([world("l2").raw, world("l2").file[:500]]))
    searchable = served_of(one, encoded, configuration_of(one, codec, RERANKINGS[0]))
    right = searchable.hnsw.hnsw.search_method
    default = faiss.IndexHNSWFlat(4, 4).hnsw.search_method
    assert right != default
    searchable.set_ef(20)
    found = {}
    for method in (right, default):
        searchable.hnsw.hnsw.search_method = method
        ids = searchable.index.search(one.raw, K)[1]
        found[method] = float((written_and_read(searchable, one, tmp_path)[0] == ids).mean())
    assert found[right] == 1.0
    assert found[default] < 0.999


# ---------------------------------------------------------------- ids


@pytest.mark.parametrize("at", ["memory", "disk"])
def test_ids_are_rows_of_the_users_file(
    world: Callable[..., World], encoded: Callable[..., Encoded], tmp_path: Path, at: StoreAt
) -> None:
    """Rows of the file are asked for by their own vectors; the first id is the row, and no query is an id."""
    one = world("cosine", True)
    assert one.base.rows is not None
    held = np.setdiff1d(np.arange(len(one.file)), one.base.rows)
    asked = one.base.rows[::30]
    own = replace(one, raw=one.file[asked])
    searchable = served_of(one, encoded, configuration_of(one, "SQ8", ("fp32", 4, at)))
    ids = written_and_read(searchable, own, tmp_path)[0]
    assert (ids[:, 0] == asked).mean() > 0.98
    assert not np.isin(ids, held).any()
    assert len(held) == NQ
    assert isinstance(faiss.read_index(str(tmp_path / "index.faiss")), faiss.IndexIDMap) == (at == "memory")


def test_what_was_not_found_stays_minus_one(world: Callable[..., World]) -> None:
    held, own = world("l2", True).base, world("l2").base
    ids = np.array([[0, 5, -1]])
    assert held.rows is not None
    assert original_rows(ids, held).tolist() == [[held.rows[0], held.rows[5], -1]]
    assert original_rows(ids, own) is ids


# ---------------------------------------------------------------- transforms and files


@pytest.mark.parametrize("metric", METRICS)
def test_the_metrics_transform_prepares_raw_queries(world: Callable[..., World], metric: Metric) -> None:
    raw = world(metric).raw
    step = metric_transform(metric, D)
    found = raw if step is None else step.apply(raw)
    np.testing.assert_allclose(found, prepared_queries(raw, metric), rtol=1e-6, atol=1e-7)
    assert (step is None) == (metric == "l2")


def test_every_part_inside_has_metric_l2(
    world: Callable[..., World], encoded: Callable[..., Encoded]
) -> None:
    for metric in METRICS:
        one = world(metric)
        searchable = served_of(one, encoded, configuration_of(one, "PQd/4x8", ("fp16", 4, "memory")))
        refine = searchable.index
        parts = [refine, refine.base_index, refine.refine_index, searchable.hnsw, searchable.hnsw.storage]
        assert {part.metric_type for part in parts} == {faiss.METRIC_L2}


def test_a_failed_write_leaves_the_old_file(
    world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.faiss"
    path.write_bytes(b"old")

    def defect(_index: faiss.Index, _writer: object) -> None:
        raise RuntimeError("no such kind")

    monkeypatch.setattr(faiss, "write_index", defect)
    with pytest.raises(InputError, match=r"cannot be written \(no such kind\)"):
        write(faiss.IndexFlatL2(4), path)
    assert path.read_bytes() == b"old"


def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written \(No such file or directory\)"):
        write(faiss.IndexFlatL2(4), tmp_path / "none" / "x.faiss")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write(faiss.IndexFlatL2(4), tmp_path / "folder")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_the_last_bytes_of_an_index_that_find_no_room_are_told(tmp_path: Path) -> None:
    """faiss alone leaves the file short and says nothing."""
    index, path = faiss.IndexFlatL2(4), tmp_path / "x.faiss"
    index.add(np.zeros((10, 4), dtype=np.float32))
    with file_limit(write(index, path) - 3), pytest.raises(InputError, match="File too large"):
        write(index, path)
    assert faiss.read_index(str(path)).ntotal == 10
    assert [each.name for each in tmp_path.iterdir()] == ["x.faiss"]
