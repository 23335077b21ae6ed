"""Which indexes decide with: only those that can reach the target."""

from typing import Any

import click
import numpy as np
import pytest

from benchmarks.coverage import pool
from benchmarks.coverage.pool import CODECS, make_pool
from tuner.types import FloatArray

N_ROWS, N_QUERIES = 1_500, 60


def drawn() -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(0)
    made = rng.normal(size=(N_ROWS + N_QUERIES, 8)).astype(np.float32)
    return made[:N_ROWS], made[N_ROWS:]


def plant_blindness(codecs: tuple[str, ...], patch: pytest.MonkeyPatch) -> None:
    """Let indexes of these codecs find nothing, whatever their ef_search is."""
    patch.setattr(pool, "LINKS", (8,))
    hits_of = pool._hits

    def blind(problem: Any, searchable: Any, ef: int, some: Any) -> Any:
        found, ndis = hits_of(problem, searchable, ef, some)
        return (0 * found if searchable.configuration.codec in codecs else found), ndis

    patch.setattr(pool, "_hits", blind)


def test_an_index_that_cannot_reach_the_target_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_blindness(("SQ6",), monkeypatch)
    found = make_pool(*drawn(), recall=0.8)
    assert len(found.names) == len(CODECS) - 1
    assert not any("SQ6" in name for name in found.names)
    assert found.hits.shape == (*found.ef_search.shape, N_QUERIES)


def test_where_none_reaches_it_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_blindness(CODECS, monkeypatch)
    with pytest.raises(click.ClickException, match=r"none of 3 indexes reaches recall 0\.8"):
        make_pool(*drawn(), recall=0.8)


@pytest.mark.parametrize("middle", [12.0, 100.0, 700.0])
def test_steps_are_as_fine_as_the_price_near_the_middle_and_none_repeats(middle: float) -> None:
    grid = pool._grid(middle, k=10)
    assert grid[0] >= 10
    assert (np.diff(grid) > 0).all()
    assert grid[-1] > 3 * middle
    near = grid[(grid > 0.8 * middle) & (grid < 1.5 * middle)]
    assert (np.diff(near) <= np.maximum(1, 0.03 * near[:-1])).all()
