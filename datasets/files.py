"""A data set on disk: base, queries and perhaps labels in one folder, written whole or not at all."""

import tempfile
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

NAMES = ("base.npy", "queries.npy")
LABELS = ("labels.npy", "query_labels.npy")


def claim_folder(folder: Path) -> None:
    """Make the folder, before minutes are spent on what would go into it.

    Raises:
        click.ClickException: it holds a data set already.
    """
    _refuse_to_replace(folder, NAMES)
    folder.mkdir(parents=True, exist_ok=True)


def _refuse_to_replace(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if (folder / name).exists():
            raise click.ClickException(f"{folder / name} exists already: remove it or choose another --out.")


def write_dataset(folder: Path, base: NDArray[np.floating], queries: NDArray[np.floating]) -> None:
    """Write both files under temporary names, then rename them."""
    _write(folder, dict(zip(NAMES, (base, queries), strict=True)))


def write_labels(folder: Path, labels: list[str], query_labels: list[str]) -> None:
    """Write a label for each row and each query, as ASCII, which takes a quarter of the bytes of text.

    Raises:
        click.ClickException: there are labels already.
    """
    _refuse_to_replace(folder, LABELS)
    arrays = (np.array(each, dtype=np.bytes_) for each in (labels, query_labels))
    _write(folder, dict(zip(LABELS, arrays, strict=True)))


def _write(folder: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        for name, values in arrays.items():
            np.save(Path(partial, name), values)
        for name in arrays:
            Path(partial, name).replace(folder / name)


def read_dataset(folder: Path) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Read base (n, d) and queries (nq, d) of a folder that `write_dataset` filled."""
    base, queries = (np.load(folder / name) for name in NAMES)
    return base, queries
