"""A graph that copies of vectors cut into groups: that is told, and one node for each is the fix."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

import tuner
from tuner.data.copies import with_copies
from tuner.data.vectors import row_groups
from tuner.errors import InputError
from tuner.index.layers import closed_in
from tuner.types import Diagnosis

pytestmark = pytest.mark.usefixtures("few_rounds")
N_DISTINCT, COPIES, D = 30, 25, 16


def copied(n_copies: int) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled copies of 30 distinct rows, and 100 queries."""
    rng = np.random.default_rng(0)
    distinct = rng.standard_normal((N_DISTINCT * COPIES // n_copies, D)).astype(np.float32)
    rows = rng.permutation(np.repeat(distinct, n_copies, axis=0))
    return rows, rng.standard_normal((100, D)).astype(np.float32)


def built(x: np.ndarray, M: int) -> faiss.IndexHNSWFlat:
    index = faiss.IndexHNSWFlat(x.shape[1], M)
    index.add(x)
    index.hnsw.efSearch = 20
    return index


def test_nodes_that_link_to_their_own_copies_alone_are_counted() -> None:
    x, _ = copied(COPIES)
    index = built(x, 4)
    group = row_groups([x])
    offsets, slots = faiss.vector_to_array(index.hnsw.offsets), faiss.vector_to_array(index.hnsw.neighbors)
    expected = []
    for node in range(len(x)):
        links = [link for link in slots[offsets[node] : offsets[node] + 8].tolist() if link >= 0]
        expected.append(bool(links) and all((x[link] == x[node]).all() for link in links))
    assert closed_in(index, group).tolist() == expected
    assert 0.5 < np.mean(expected) < 1


def test_copies_are_told_where_they_cut_the_graph() -> None:
    x, q = copied(COPIES)
    found = tuner.diagnose(built(x, 4), x, q, metric="l2")
    assert found.first is not None
    assert found.first.name == "duplicates"
    n_closed = int(closed_in(built(x, 4), row_groups([x])).sum())
    assert f"{n_closed} link to copies of themselves alone: duplicates cut it into groups" in found.first.text
    assert found.adds_up


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an index that copies cut into groups."""
    folder = tmp_path_factory.mktemp("cut")
    x, q = copied(COPIES)
    faiss.write_index(built(x, 4), str(folder / "index.faiss"))
    np.save(folder / "base.npy", x)
    np.save(folder / "queries.npy", q)
    np.save(folder / "ids.npy", 9_000 - 7 * np.random.default_rng(1).permutation(len(x)))
    return folder


def diagnosed(folder: Path, index: Path, **asked: Any) -> Diagnosis:
    asked = {"recall": 0.9, "metric": "l2", "threads": 1, **asked}
    return tuner.diagnose(index, folder / "base.npy", folder / "queries.npy", **asked)


@pytest.mark.parametrize("own", [False, True])
def test_one_node_for_all_copies_is_the_fix_and_its_list_is_followed(
    folder: Path, own: bool, tmp_path: Path
) -> None:
    index, ids = folder / "index.faiss", np.load(folder / "ids.npy") if own else None
    if own:
        index = tmp_path / "own.faiss"
        whole = faiss.IndexIDMap(faiss.IndexHNSWFlat(D, 4))
        whole.add_with_ids(np.load(folder / "base.npy"), ids)
        faiss.write_index(whole, str(index))
    (tmp_path / "mended").mkdir()
    mended = tmp_path / "mended" / "index.faiss"
    found = diagnosed(folder, index, ids=ids, apply=1, out=mended)
    fix = found.prescriptions[0]
    assert (fix.kind, fix.works) == ("collapse", True)
    assert found.applied is not None
    x, q = copied(COPIES)
    files = [mended, mended.with_name("copies.npy")]
    assert fix.index_bytes == sum(each.stat().st_size for each in files)
    pairs = np.load(files[1])
    assert len(pairs) == len(x) - N_DISTINCT
    rows = np.arange(len(x)) if ids is None else ids
    place = {each: row for row, each in enumerate(rows.tolist())}
    assert all((x[place[one]] == x[place[other]]).all() for one, other in pairs.tolist())
    again = diagnosed(folder, mended, ids=ids)
    assert again.healthy
    assert again.recall == found.applied
    assert "missing rows" not in {cause.name for cause in again.causes}
    assert any("copies.npy lists are found with the rows" in note for note in again.notes)
    _, where = faiss.read_index(str(mended)).search(q, 10)
    given, _ = with_copies(pairs, where, 10)
    far = ((q[:, None] - x[None]) ** 2).sum(axis=2)
    limit = np.sort(far, axis=1)[:, 9:10] * 1.0001
    mine = np.vectorize(place.__getitem__)(given)
    hits = (np.take_along_axis(far, mine, axis=1) <= limit).mean()
    assert hits == pytest.approx(found.applied.mean, abs=1e-6)


def test_without_its_list_the_copies_are_missing(folder: Path, tmp_path: Path) -> None:
    mended = tmp_path / "mended.faiss"
    diagnosed(folder, folder / "index.faiss", apply=1, out=mended)
    with pytest.raises(InputError, match=r"copies\.npy is there already"):
        diagnosed(folder, folder / "index.faiss", apply=1, out=tmp_path / "other.faiss")
    pairs = np.load(tmp_path / "copies.npy")
    np.save(tmp_path / "copies.npy", pairs[:, ::-1][np.argsort(pairs[:, 1])])
    found = diagnosed(folder, mended)
    assert found.causes[0].name == "missing rows"
    assert any("is of another index and not followed" in note for note in found.notes)
    (tmp_path / "copies.npy").write_bytes(b"no list")
    with pytest.raises(InputError, match=r"copies\.npy is no \.npy array"):
        diagnosed(folder, mended)


def test_few_copies_are_not_blamed_for_poor_links() -> None:
    x, q = copied(1)
    x[:8] = x[8:16]
    index = built(x, 2)
    slots = faiss.rev_swig_ptr(index.hnsw.neighbors.data(), index.hnsw.neighbors.size())
    offsets = faiss.vector_to_array(index.hnsw.offsets).astype(int)
    for node in range(0, len(x), 3):
        slots[offsets[node] + 1 : offsets[node] + 4] = -1
    found = tuner.diagnose(index, x, q, metric="l2")
    graph = next(cause for cause in found.causes if cause.name == "graph")
    assert graph.share > 0.1
    assert "duplicates" not in graph.text
