"""What a filter takes away from an index that is healthy without one: named, and mended."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from conftest import planted_rows
from scipy import sparse

from tuner.data.filters import FiltersAsked, open_filters
from tuner.diagnosis.filter_loss import FilterLoss, filter_loss
from tuner.diagnosis.questions import questions_for
from tuner.diagnosis.run import DiagnoseOptions, diagnose
from tuner.errors import InputError
from tuner.index.inputs import open_inputs
from tuner.index.opened import open_object
from tuner.runtime.journal import Journal
from tuner.runtime.steps import result_of
from tuner.types import FloatArray, Options

N, NQ, D, EF = 4000, 300, 24, 40
OPTIONS = Options(recall=0.9, metric="l2", threads=1)


@pytest.fixture(scope="module")
def x() -> FloatArray:
    return planted_rows(N + NQ, D, 11)


@pytest.fixture(scope="module")
def index(x: FloatArray) -> faiss.Index:
    index = faiss.IndexHNSWFlat(D, 12)
    index.add(x[:N])
    index.hnsw.efSearch = EF
    return index


def loss(x: FloatArray, index: faiss.Index, share: float, folder: Path) -> FilterLoss:
    """Return what a filter loses that allows a share of the rows, drawn at random."""
    base, queries = open_inputs(x[:N], x[N:])
    opened = open_object(index, D, None)
    allowed = np.random.default_rng(2).random(N) < share
    matrix = sparse.csr_matrix(np.repeat(allowed[None], NQ, axis=0))
    given = open_filters(FiltersAsked(filters=matrix), (base, queries), (x[:N], x[N:]))
    assert given is not None
    journal = Journal(folder, {}, resume=False)
    questions = result_of(questions_for(journal, opened, base, queries, OPTIONS, folder))
    return result_of(filter_loss(questions, opened, given))


def test_a_narrow_filter_is_the_cause_and_a_scan_mends_it(
    x: FloatArray, index: faiss.Index, tmp_path: Path
) -> None:
    found = loss(x, index, 0.02, tmp_path)
    assert not found.certified
    assert found.cause.name == "filter"
    assert found.cause.share > 0.1
    assert found.recall + found.cause.share > 0.95
    assert "with a scan of the allowed rows 1.0000" in found.cause.text


def test_a_wide_filter_needs_a_larger_ef_search(x: FloatArray, index: faiss.Index, tmp_path: Path) -> None:
    index.hnsw.efSearch = 16
    found = loss(x, index, 0.4, tmp_path)
    index.hnsw.efSearch = EF
    assert not found.certified
    assert ", with ef_search 32 0.9" in found.cause.text or ", with ef_search 64 0.9" in found.cause.text


def test_a_filter_that_allows_everything_takes_nothing(
    x: FloatArray, index: faiss.Index, tmp_path: Path
) -> None:
    found = loss(x, index, 1.1, tmp_path)
    assert found.certified
    assert found.cause.share == 0


def test_rows_of_the_index_have_no_filters(x: FloatArray, index: faiss.Index, tmp_path: Path) -> None:
    base, _ = open_inputs(x[:N], None)
    asked = FiltersAsked(labels=np.arange(N) % 3)
    given = open_filters(asked, (base, None), (x[:N], None))
    with pytest.raises(InputError, match="filters are for queries of your own"):
        result_of(diagnose(base, None, DiagnoseOptions(index=index), OPTIONS, tmp_path, given))
