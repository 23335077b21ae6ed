"""Copies of values that do not lie row after row in the user's file."""

from __future__ import annotations

import numpy as np
import pytest

from tuner.data.formats.spool import written
from tuner.errors import InputError

BLOCKS = [np.arange(6).reshape(3, 2), np.arange(6, 10).reshape(2, 2)]


@pytest.mark.parametrize("n", [None, 5])
def test_blocks_are_one_matrix_that_goes_with_the_last_reference(n: int | None) -> None:
    found = written("x", 2, np.dtype("f4"), iter(BLOCKS), n)
    assert found.shape == (5, 2)
    assert found.dtype == np.dtype("f4")
    np.testing.assert_array_equal(found.rows(np.array([0, 2, 4])), [[0, 1], [4, 5], [8, 9]])
    folder = found.path.parent
    del found
    assert not folder.exists()


@pytest.mark.parametrize("n", [4, 6])
def test_a_file_with_more_or_fewer_rows_than_it_says_is_told(n: int) -> None:
    with pytest.raises(InputError, match=f"x has 5 rows where it says {n}: write it again"):
        written("x", 2, np.dtype("f4"), iter(BLOCKS), n)
