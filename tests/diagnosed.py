"""What the tests of the diagnosis share: real vectors at length 1, small ones, and timings of one round."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tuner.data.base import Base
from tuner.diagnosis import costs, fix_builder, fixes, search_losses
from tuner.index import graph
from tuner.index.encoders import Encoder
from tuner.index.graph import DerivableGraph
from tuner.types import Steps

DATA = Path(__file__).parents[1] / "datasets" / "docs-minilm-384"
N_SMALL, NQ_SMALL, D_SMALL = 800, 200, 24


def at_unit_length(rows: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def real(name: str, n: int, d: int = 384) -> np.ndarray:
    """Return the first rows and columns of a file of the repository's own data, at length 1."""
    return at_unit_length(np.load(DATA / f"{name}.npy")[:n, :d].astype(np.float32))


def recall_of(found: np.ndarray, x: np.ndarray, q: np.ndarray) -> float:
    """Return recall by cosine, reckoned from the vectors alone, of rows that no two tie."""
    k = found.shape[1]
    near = np.argsort(-(q @ at_unit_length(x.astype(np.float64)).T), axis=1)[:, :k]
    return float(
        np.mean([len(set(a) & set(b)) / k for a, b in zip(found.tolist(), near.tolist(), strict=True)])
    )


@pytest.fixture(scope="session")
def small() -> tuple[np.ndarray, np.ndarray]:
    """Rows (800, 24) whose lengths differ, and 200 queries of the same kind."""
    rng = np.random.default_rng(5)
    directions = at_unit_length(rng.standard_normal((N_SMALL + NQ_SMALL, D_SMALL)))
    rows = (directions * np.exp(rng.normal(0, 0.5, (len(directions), 1)))).astype(np.float32)
    return rows[:N_SMALL], rows[N_SMALL:]


@pytest.fixture(scope="session")
def rebuilt() -> dict[tuple[str, str], tuple[DerivableGraph, bytes]]:
    """Graphs that were built again, and the files of their links, by what they were built on."""
    return {}


@pytest.fixture
def one_rebuilt_graph(
    rebuilt: dict[tuple[str, str], tuple[DerivableGraph, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prescription of a new graph does not depend on the index that is ill: one is built for each base."""

    def build(
        base: Base, encoder: Encoder, M: int, ef_construction: int, seed: int, path: Path
    ) -> Steps[DerivableGraph]:
        digest = hashlib.blake2b(np.ascontiguousarray(base.x).tobytes(), digest_size=16).hexdigest()
        if (base.metric, digest) not in rebuilt:
            links = yield from graph.build(base, encoder, M, ef_construction, seed, path)
            rebuilt[base.metric, digest] = links, path.read_bytes()
        links, data = rebuilt[base.metric, digest]
        path.write_bytes(data)
        return links

    monkeypatch.setattr(fix_builder, "build", build)


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second is asserted: one round of few queries is enough of each timing, and none orders anything.

    Of few thousand rows an ef_search of 512 finds what there is to find; faiss's takes its square in time.
    """
    for module in (costs, fixes):
        monkeypatch.setattr(module, "ROUNDS", 1)
    monkeypatch.setattr(costs, "QUERIES", 32)
    monkeypatch.setattr(fixes, "TIMED_QUERIES", 32)
    monkeypatch.setattr(fixes, "SLOW", np.inf)
    monkeypatch.setattr(fixes, "TIME_NOISE", np.inf)
    monkeypatch.setattr(fixes, "MOST_EF", 512)
    monkeypatch.setattr(search_losses, "FAR_EF", 512)
