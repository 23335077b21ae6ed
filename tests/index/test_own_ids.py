"""Indexes that answer with the user's own ids, searched by rows and written with the ids again."""

from collections.abc import Callable
from pathlib import Path

import faiss
import hnswlib
import numpy as np
import pytest
from conftest import planted_rows

from tuner.data.ids import named
from tuner.data.vectors import Vectors, open_vectors
from tuner.errors import InputError
from tuner.index.opened import IndexUnderTest, open_index
from tuner.index.own_ids import by_rows, with_own_ids

N, D = 300, 8
X = planted_rows(N, D, 4)
KEYS = np.random.default_rng(5).choice(2**62, N, replace=False)


def of_faiss(kind: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        index = faiss.index_factory(D, kind)
        index.train(X)
        index.add_with_ids(X, KEYS)
        faiss.write_index(index, str(path))

    return write


def of_hnswlib(path: Path) -> None:
    index = hnswlib.Index("l2", D)
    index.init_index(N, random_seed=1)
    index.add_items(X, KEYS, num_threads=1)
    index.save_index(str(path))


WRITERS = {
    "map over a graph": of_faiss("IDMap,HNSW8,Flat"),
    "two-way map": of_faiss("IDMap2,HNSW8,Flat"),
    "map in front of lists": of_faiss("IDMap2,IVF4,Flat"),
    "lists": of_faiss("IVF4,Flat"),
    "hnswlib": of_hnswlib,
}


def opened(path: Path, vectors: Vectors) -> IndexUnderTest:
    return by_rows(open_index(path, D, "l2", 64), vectors)


@pytest.mark.parametrize("kind", WRITERS)
def test_the_index_answers_with_rows_and_is_written_with_its_ids(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "index"
    WRITERS[kind](path)
    index = opened(path, named(open_vectors(X, "base"), KEYS))
    assert sorted(index.ids.tolist()) == list(range(N))
    index.set_value(300)
    assert index.index.search(X, 1)[1][:, 0].tolist() == list(range(N))
    with with_own_ids(index, index.own) as whole:
        faiss.write_index(whole, str(path))
    again = faiss.read_index(str(path))
    faiss.ParameterSpace().set_index_parameter(again, "nprobe" if "lists" in kind else "efSearch", 300)
    assert again.search(X, 1)[1][:, 0].tolist() == KEYS.tolist()
    assert index.index.search(X, 1)[1][:, 0].tolist() == list(range(N))  # as before


def test_ids_that_the_list_lacks_are_kept_and_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "index"
    WRITERS["two-way map"](path)
    ids = KEYS.copy()
    ids[[3, 8]] = -1
    index = opened(path, named(open_vectors(X, "base"), ids))
    assert np.flatnonzero(index.ids >= N - 2).tolist() == [3, 8]
    with with_own_ids(index, index.own) as whole:
        assert faiss.vector_to_array(faiss.downcast_index(whole).id_map).tolist() == KEYS.tolist()


def test_positions_are_ids_that_a_list_can_name(tmp_path: Path) -> None:
    """Documents in another order than the file's rows, their places kept outside of the index."""
    path, order = tmp_path / "index", np.random.default_rng(6).permutation(N)
    index = faiss.IndexFlatL2(D)
    index.add(X[order])
    faiss.write_index(index, str(path))
    found = opened(path, named(open_vectors(X, "base"), np.argsort(order)))
    assert found.index.search(X, 1)[1][:, 0].tolist() == list(range(N))


def test_ids_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    path, vectors = tmp_path / "index", open_vectors(X, "base")
    WRITERS["two-way map"](path)
    with pytest.raises(InputError, match=r"none of its ids is a row of base array: .* with --ids the list"):
        opened(path, vectors)
    with pytest.raises(InputError, match="none of its ids is in the list of ids: its first ones are"):
        opened(path, named(vectors, np.arange(N)))
    texts = [f"doc-{number}" for number in range(N)]
    with pytest.raises(InputError, match=r"holds text \(doc-0\), and an index of .* holds whole numbers"):
        opened(path, named(vectors, texts))
    index = faiss.IndexFlatL2(D)
    index.add(X)
    faiss.write_index(index, str(path))
    with pytest.raises(InputError, match="it holds positions, 0 to 299, so leave --ids out"):
        opened(path, named(vectors, KEYS))
    assert opened(path, named(vectors, texts)).ids.tolist() == list(range(N))  # text stands beside an index
