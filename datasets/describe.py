"""What a data set is like: the numbers in README.md."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from files import NAMES, read_dataset
from rows import occurs_in, repeated_share

K = 10
# Far below what a unit vector of any real width spreads over; all-MiniLM-L6-v2 has one of 6e-8.
DEAD_SPREAD = 1e-6
QUERIES_PER_BLOCK = 250


def describe(folder: Path) -> Iterator[str]:
    """Yield one line per fact about the data set in `folder`."""
    try:
        base, queries = read_dataset(folder)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{folder} holds no data set: {error}.") from error
    for name, vectors in zip(NAMES, (base, queries), strict=True):
        path = folder / name
        norms = np.linalg.norm(vectors.astype(np.float32), axis=1)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        yield f"{name}: {vectors.shape[0]:,} x {vectors.shape[1]} {vectors.dtype}"
        yield f"  bytes {path.stat().st_size:,}, sha256 {digest}"
        yield f"  norms {norms.min():.5f} to {norms.max():.5f}"
        yield f"  repeated rows {repeated_share(vectors):.1%}"
    dead = np.flatnonzero(np.ptp(base, axis=0) <= DEAD_SPREAD).tolist()
    yield f"dead dimensions of the base: {dead or 'none'}"
    yield f"queries that are base rows: {np.count_nonzero(occurs_in(queries, base))}"
    if len(base) > K:
        yield f"queries tied across rank {K}: {tied_share(base, queries):.1%}"


def tied_share(base: NDArray[np.floating], queries: NDArray[np.floating]) -> float:
    """Share of queries whose 10th and 11th nearest base rows (L2) are equally far.

    For these it is arbitrary which ids are right.

    Args:
        base: (n, d), n > 10.
        queries: (nq, d).
    """
    wide = base.astype(np.float32)
    squared_norms = np.einsum("ij,ij->i", wide, wide)
    n_tied = 0
    for start in range(0, len(queries), QUERIES_PER_BLOCK):
        block = queries[start : start + QUERIES_PER_BLOCK]
        approximate = squared_norms - 2 * (block.astype(np.float32) @ wide.T)
        nearest = np.argpartition(approximate, K, axis=1)[:, : K + 1]
        # Equal rows must come out equally far, which a float32 matrix product does not promise.
        offsets = base[nearest].astype(np.float64) - block[:, None].astype(np.float64)
        distances = np.sort(np.square(offsets).sum(axis=2), axis=1)
        n_tied += int(np.count_nonzero(distances[:, K] == distances[:, K - 1]))
    return n_tied / len(queries)
