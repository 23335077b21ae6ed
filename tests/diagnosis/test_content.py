"""What an index holds beside the file, where the index compares by one column more."""

from pathlib import Path

import faiss
import numpy as np
import pytest

import tuner
from tuner.index.assemble import metric_transform
from tuner.index.projections import behind

NEAR = 0.02


@pytest.mark.usefixtures("few_rounds")
@pytest.mark.filterwarnings("error")
def test_an_index_of_tune_for_inner_products_holds_the_rows_of_the_file(tmp_path: Path) -> None:
    """Its codes have one column more than the rows: no row is stale, and no link is lost, because of it."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((30, 24))
    drawn = centres[rng.integers(30, size=1_600)] + 0.9 * rng.standard_normal((1_600, 24))
    rows = (drawn * rng.uniform(0.3, 3, (1_600, 1))).astype(np.float32)
    x, q = rows[:1_500], rows[1_500:]
    radius = np.linalg.norm(x, axis=1).max()
    last = np.sqrt(np.maximum(radius**2 - (x.astype(np.float64) ** 2).sum(axis=1), 0)).astype(np.float32)
    graph = faiss.IndexHNSWFlat(25, 16)
    graph.add(np.hstack([x, last[:, None]]))
    graph.hnsw.efSearch = 200
    step = metric_transform("ip", 24)
    found = tuner.diagnose(behind([step], graph), x, q, metric="ip")
    assert {cause.name for cause in found.causes} == {"search", "codec", "graph"}
    assert all(cause.share < NEAR for cause in found.causes)
    assert abs(found.residual) < NEAR
