"""A data set on disk: one folder with `base.npy` and `queries.npy`, written whole or not at all."""

import tempfile
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

NAMES = ("base.npy", "queries.npy")


def claim_folder(folder: Path) -> None:
    """Make the folder, before minutes are spent on what would go into it.

    Raises:
        click.ClickException: it holds a data set already.
    """
    for name in NAMES:
        if (folder / name).exists():
            raise click.ClickException(f"{folder / name} exists already: remove it or choose another --out.")
    folder.mkdir(parents=True, exist_ok=True)


def write_dataset(folder: Path, base: NDArray[np.floating], queries: NDArray[np.floating]) -> None:
    """Write both files under temporary names, then rename them."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        for name, vectors in zip(NAMES, (base, queries), strict=True):
            np.save(Path(partial, name), vectors)
        for name in NAMES:
            Path(partial, name).replace(folder / name)


def read_dataset(folder: Path) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Read base (n, d) and queries (nq, d) of a folder that `write_dataset` filled."""
    base, queries = (np.load(folder / name) for name in NAMES)
    return base, queries
