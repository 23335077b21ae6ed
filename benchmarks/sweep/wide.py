"""What tuning wide vectors costs, on vectors that are lifted from the repository's real ones.

    python -m benchmarks.sweep.wide datasets/docs-minilm-384/base.npy --out reports/wide

They are **not** embeddings of a wide model, of which none is in the repository: real rows are lifted by
random smooth features (tanh of a random projection), so that neighbours stay neighbours and rows lie on a
curved surface of few dimensions, and noise is added whose variance falls along a random basis by a power law.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from scipy.fft import dct

from benchmarks.common import FILE, origin, run_tune, write_lines
from tuner.api.result import REPORT_NAME, read_report
from tuner.data.vectors import open_vectors
from tuner.report.tables import optional, table
from tuner.types import FloatArray, Result

SHAPES = ("10000x1536", "5000x3072", "4000x4096")
GAIN = 1.2
"""Spread of what tanh is applied to: curved, not yet a sign."""
NOISE_SHARE, NOISE_DECAY = 0.1, 1.0
"""Share of a row's squared norm that is noise, and the power by which its variance falls."""
HEAD = (
    "rows lifted to",
    "recommendation",
    "recall@10, lower bound",
    "B/vector",
    "memory of hnswlib M=16",
    "time of hnswlib M=16",
    "A/A",
    "CPU s",
    "ordinary build, CPU s",
    "cost, ordinary builds",
    "prediction error",
)


def lifted(x: FloatArray, d: int, seed: int) -> FloatArray:
    """Return rows (n, d) float32 of unit norm that are nearly as near to each other as those of ``x``.

    >>> lifted(np.eye(3, dtype=np.float32), 64, seed=0).shape
    (3, 64)

    Args:
        x: (n, fewer) rows of unit norm.
        d: dimensions of the result.
        seed: random seed of projection and noise.
    """
    rng = np.random.default_rng(seed)
    projection = rng.standard_normal((x.shape[1], d), dtype=np.float32)
    rows = np.tanh(GAIN * (x.astype(np.float32) @ projection) + rng.uniform(-1, 1, d).astype(np.float32))
    rows -= rows.mean(axis=0)
    spread = (1.0 + rng.permutation(d)) ** (-NOISE_DECAY / 2)
    noise = dct(rng.standard_normal((len(x), d)) * spread, norm="ortho", axis=1)
    noise *= rng.choice(np.array([-1.0, 1.0]), d)
    mixed = np.sqrt(1 - NOISE_SHARE) * _unit(rows) + np.sqrt(NOISE_SHARE) * _unit(noise)
    return np.asarray(_unit(mixed), dtype=np.float32)


def _unit(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def lines(found: dict[str, Result]) -> Iterator[str]:
    """Yield the report: a row for each shape, and the most that one cost.

    Args:
        found: the run's result, by shape.
    """
    most = max((result.cost.ordinary_builds or 0.0) for result in found.values())
    yield f"# Tuning wide vectors costs {most:.1f} ordinary builds at most"
    yield ""
    yield from table(HEAD, (_cells(shape, result) for shape, result in found.items()))
    yield ""
    yield (
        "The rows are the first ones of the real base, lifted by random smooth features, with noise of a "
        "power-law spectrum: no embeddings of a wide model. No queries are given: rows are held out. An "
        "ordinary build is hnswlib, M=16, ef_construction=200, float32, on the same rows."
    )
    yield ""


def _cells(shape: str, result: Result) -> list[str]:
    answer, baseline, cost = result.recommendation, result.baseline, result.cost
    seconds = [f"{cost.cpu_s:.0f}", optional(cost.ordinary_build_cpu_s, ".1f")]
    builds = [*seconds, optional(cost.ordinary_builds, ".1f"), optional(result.prediction_error, ".4f")]
    n, d = (int(part) for part in shape.split("x"))
    name = f"{n:,} x {d:,}"
    if answer is None or baseline is None:
        return [name, "nothing", *("" for _ in HEAD[2:-4]), *builds]
    return [
        name,
        f"{answer.label} ef {answer.ef_search}",
        f"{answer.recall:.4f} ({answer.recall_lower:.4f})",
        f"{answer.memory_per_vector_bytes:,.0f}",
        f"{baseline.memory_ratio:.1f} x",
        f"{baseline.latency_ratio:.2f} x",
        f"{100 * (result.noise_floor or 0):.1f} %",
        *builds,
    ]


@click.command()
@click.argument("base", type=FILE)
@click.option("--shapes", default=",".join(SHAPES), show_default=True, help="Rows and dimensions.")
@click.option("--recall", default=0.95, show_default=True, help="Target recall@k.")
@click.option("--seed", default=0, show_default=True, help="Random seed of the vectors.")
@click.option(
    "--vectors", type=click.Path(path_type=Path), help="Folder that keeps the vectors, and no runs."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the table.")
def main(base: Path, shapes: str, recall: float, seed: int, vectors: Path | None, out: Path | None) -> None:
    """Lift the rows of BASE, tune them with a really built hnswlib index beside, and write what it cost."""
    rows = open_vectors(base, "base")
    found: dict[str, Result] = {}
    with tempfile.TemporaryDirectory(prefix="wide-") as temporary:
        for shape in shapes.split(","):
            n, d = (int(part) for part in shape.split("x"))
            path = (vectors or Path(temporary)) / f"{shape}.npy"
            np.save(path, lifted(rows.read(0, n), d, seed))
            if vectors is not None:
                continue
            words = [
                "--recall",
                str(recall),
                "--baseline",
                "hnswlib",
                "--quiet",
                "--out",
                f"{temporary}/{shape}",
            ]
            done = run_tune([*words, str(path)])
            if done.returncode not in (0, 1):
                raise click.ClickException(done.stderr.strip())
            found[shape] = read_report(Path(temporary, shape, REPORT_NAME))
            click.echo(" | ".join(_cells(shape, found[shape])), err=True)
    if found and out is not None:
        write_lines([*lines(found), origin()], out / "table.md")


if __name__ == "__main__":
    main()
