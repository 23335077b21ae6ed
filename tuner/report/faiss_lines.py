"""The few lines of plain faiss that load, search, or make again what was recommended."""

import json

from tuner.data.copies import COPIES_FILE
from tuner.index.codecs import SCALAR_TYPES, Quantizer, quantizer
from tuner.search import INDEX_FILE, MANIFEST
from tuner.text import one_line
from tuner.types import Metric, OperatingPoint, Result

STORE_FILE = "rerank.faiss"
IDS_FILE = "index.ids.npy"
"""The user's own ids by row number, where the index does not answer with them."""


def search_lines(result: Result) -> tuple[str, ...]:
    """Lines of Python, numpy and faiss only, that load the index written and search it with raw queries."""
    answer = result.recommendation
    on_disk = answer is not None and answer.rerank is not None and answer.rerank_at == "disk"
    lines = ["import faiss, numpy as np"]
    if result.status == "sharded" and result.sharded is not None:
        lines += _shard_lines(result.sharded.n_shards)
    else:
        lines.append(f'index = faiss.read_index("{INDEX_FILE}")')
    if answer is not None and on_disk:
        lines += [
            f'store = faiss.read_index("{STORE_FILE}", faiss.IO_FLAG_MMAP_IFC)',
            "index = faiss.IndexRefine(index, store)",
            f"index.k_factor = {answer.rerank_factor}",
        ]
    lines += [
        _load_line("queries", result.queries.source),
        f"distances, ids = index.search(queries, {result.options.k})",
    ]
    if result.collapsed is not None:
        lines += copies_lines(result.options.k)
    if result.own_ids is not None and not result.own_ids.in_index:
        lines.append(f'ids = np.load("{IDS_FILE}")[ids]')
    return tuple(lines)


def where_it_lies(result: Result, quote: str = "") -> str:
    """What lies beside a file, in words.

    Args:
        quote: what stands around names of files.
    """
    if result.sharded is None:
        return f"{quote}{INDEX_FILE}{quote} lies beside"
    return f"the folders of the shards, and their {quote}{MANIFEST}{quote}, lie beside"


def _shard_lines(n_shards: int) -> tuple[str, ...]:
    """Lines that load every shard and let faiss merge their answers."""
    return (
        f'shards = [faiss.read_index(f"shard-{{i:05}}/{INDEX_FILE}") for i in range({n_shards})]',
        "index = faiss.IndexShards(shards[0].d, False, False)",
        "for shard in shards:",
        "    index.add_shard(shard)",
    )


def copies_lines(k: int, file: str = COPIES_FILE) -> tuple[str, ...]:
    """Lines of Python and numpy that put the rows equal to a found one behind it, k rows a query in all."""
    return (
        f"copies = np.load({json.dumps(file)})  # an id in the index, and the id of a row equal to it",
        'ends = [np.searchsorted(copies[:, 0], ids, side) for side in ("left", "right")]',
        f"distances = np.array([np.repeat(d, 1 + b - a)[:{k}] for d, a, b in zip(distances, *ends)])",
        "rows = [np.concatenate([[i, *copies[a:b, 1]] for i, a, b in zip(*q)]) for q in zip(ids, *ends)]",
        f"ids = np.array([each[:{k}] for each in rows])",
    )


def construct_lines(point: OperatingPoint, d: int, metric: Metric) -> tuple[str, ...]:
    """Lines of Python that make an empty index of this configuration with faiss's own classes.

    Args:
        point: configuration and ef_search.
        d: dimensions of the vectors as given.
        metric: cosine is L2 behind a normalisation, which ranks the same; vectors go in as they are.

    Returns:
        The lines; none for inner product, which the delivered index searches as L2 with one more column:
        faiss's own inner product graphs are something else.
    """
    if metric == "ip":
        return ()
    what = point.configuration
    codec = quantizer(what.codec, what.dims)
    lines = [
        f"index = {_graph(codec, what.M)}",
        f"index.hnsw.efConstruction, index.hnsw.efSearch = {what.ef_construction}, {point.ef_search}",
    ]
    in_front = []
    if codec.kind == "opq":
        in_front.append(f"faiss.OPQMatrix({codec.width}, {codec.m})")
    if what.cut != "none" and metric == "cosine":
        in_front.append(f"faiss.NormalizationTransform({codec.width}, 2.0)")
    if codec.width != what.dims:
        in_front.append(f"faiss.RemapDimensionsTransform({what.dims}, {codec.width}, False)")
    if what.cut == "pca":
        in_front.append(f"faiss.PCAMatrix({d}, {what.dims})")
    elif what.cut == "truncate":
        in_front.append(f"faiss.RemapDimensionsTransform({d}, {what.dims}, False)")
    normalize = f"faiss.NormalizationTransform({d}, 2.0)" if metric == "cosine" else ""
    if normalize:
        in_front.append(normalize)
    lines += [f"index = faiss.IndexPreTransform({step}, index)" for step in in_front]
    if what.rerank is not None and what.rerank_at == "memory":
        store = _store(what.rerank, d)
        store = f"faiss.IndexPreTransform({normalize}, {store})" if normalize else store
        lines.append(f"index = faiss.IndexRefine(index, {store})")
        lines.append(f"index.k_factor = {what.rerank_factor}")
    return tuple(lines)


def _graph(codec: Quantizer, M: int) -> str:
    if codec.kind == "flat":
        return f"faiss.IndexHNSWFlat({codec.width}, {M}, faiss.METRIC_L2)"
    if codec.kind == "rabitq":
        return f"faiss.IndexHNSWRaBitQ({codec.width}, {M}, {codec.bits})"
    if codec.kind == "scalar":
        return f"faiss.IndexHNSWSQ({codec.width}, {_scalar_type(codec.name)}, {M}, faiss.METRIC_L2)"
    return f"faiss.IndexHNSWPQ({codec.width}, {codec.m}, {M}, {codec.bits}, faiss.METRIC_L2)"


def _store(codec: str, d: int) -> str:
    if codec == "fp32":
        return f"faiss.IndexFlat({d}, faiss.METRIC_L2)"
    return f"faiss.IndexScalarQuantizer({d}, {_scalar_type(codec)}, faiss.METRIC_L2)"


def _scalar_type(codec: str) -> str:
    return f"faiss.ScalarQuantizer.{SCALAR_TYPES[codec]}"


def _load_line(name: str, source: str) -> str:
    """Loads the file as the user named it, or a plain name for what came from memory or out of the base."""
    path = source if source.endswith(".npy") else f"{name}.npy"
    file = json.dumps(path, ensure_ascii=False) if path == one_line(path) else ascii(path)
    return f'{name} = np.ascontiguousarray(np.load({file}), dtype="float32")'
