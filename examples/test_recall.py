"""Recall in your own test suite: the index file of this project, or any engine behind a callable."""

import faiss
import numpy as np

from tuner.testing import assert_recall


def test_nothing_regressed(recall_gate):
    """The fixture comes with the package: it does what `tune check` does."""
    recall_gate(
        "reports/baseline.yaml", "data/embeddings.npy", queries="data/queries.npy", index="build/index.faiss"
    )


def test_any_engine():
    """Whatever takes queries and k and returns row numbers can be gated."""
    base, queries = np.load("data/embeddings.npy"), np.load("data/queries.npy")
    index = faiss.read_index("build/index.faiss")
    assert_recall(index.search, queries, base, at_least=0.95, k=10)
