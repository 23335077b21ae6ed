"""Does ``tune diagnose`` name what is wrong? Illnesses planted in indexes over real vectors, each diagnosed.

python -m benchmarks.diagnosis.causes BASE.npy QUERIES.npy --out reports/diagnose/NAME.json
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import faiss
import msgspec
import numpy as np

import tuner
from benchmarks.diagnosis.planted import Array, Ground, illnesses, unit
from tuner.diagnosis import Diagnosis
from tuner.report.tables import table
from tuner.runtime.journal import write_atomically
from tuner.runtime.machine import describe_machine, describe_versions, now

HALF_POINTS = 0.02
"""How far a share may be from the truth."""
ROWS, QUERIES = 20_000, 1_000


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One illness, and what was found.

    Attributes:
        truths: name of a cause -> recall that it takes away, by construction.
        shares: what the diagnosis says of the same causes.
        residual: what all its causes leave over.
        first: the cause that it names first.
        right: it names the right one first, and each share is within two points.
    """

    illness: str
    label: str
    recall: float
    truths: dict[str, float]
    shares: dict[str, float]
    residual: float
    first: str
    right: bool


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """All illnesses on one set."""

    base: str
    n: int
    d: int
    n_queries: int
    command: str
    created: str
    machine: dict[str, object]
    versions: dict[str, str]
    rows: list[Row]


def diagnosed(name: str, ground: Ground) -> Row:
    """Plant an illness, ask for the diagnosis and compare."""
    planted = illnesses()[name](ground)
    found = tuner.diagnose(planted.index, planted.x, planted.queries, metric=planted.metric)
    first = "healthy" if found.first is None else found.first.name
    shares = {cause: share_of(found, cause) for cause in planted.truths}
    close = all(abs(shares[cause] - truth) <= HALF_POINTS for cause, truth in planted.truths.items())
    return Row(
        illness=name,
        label=f"{found.label} {found.knob}={found.effort}" if found.knob else found.label,
        recall=found.recall.mean,
        truths=planted.truths,
        shares=shares,
        residual=found.residual,
        first=first,
        right=first == planted.first and close,
    )


def share_of(found: Diagnosis, name: str) -> float:
    """Return what a diagnosis says that a cause takes away."""
    causes = found.causes if found.drift is None else (*found.causes, found.drift)
    return sum(cause.share for cause in causes if cause.name == name)


def lines(answer: Answer) -> list[str]:
    """Return the table in Markdown."""
    cells = (
        (
            row.illness,
            row.label,
            f"{row.recall:.4f}",
            row.first,
            "; ".join(f"{name} {100 * share:.1f}" for name, share in row.truths.items()),
            "; ".join(f"{name} {100 * share:.1f}" for name, share in row.shares.items()),
            f"{100 * row.residual:.2f}",
            "yes" if row.right else "**no**",
        )
        for row in answer.rows
    )
    points = ("truth, points", "found, points", "residual")
    return list(table(("planted", "index", "recall", "named first", *points, "right"), cells))


def ground_of(base: Path, queries: Path, rows: int, seed: int) -> Ground:
    """Return a part of the vectors at length 1."""
    x, q = np.load(base, mmap_mode="r"), np.load(queries, mmap_mode="r")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(x), min(rows, len(x)), replace=False))
    return Ground(_unit(x[chosen]), _unit(q[:QUERIES]), seed)


def _unit(x: Array) -> Array:
    x = np.ascontiguousarray(x, dtype=np.float32)
    return unit(x[np.linalg.norm(x, axis=1) > 0])


@click.command()
@click.argument("base", type=click.Path(exists=True, path_type=Path))
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The answer as JSON.")
@click.option("--rows", default=ROWS, show_default=True, help="Rows of BASE, at random.")
@click.option("--seed", default=0, show_default=True, help="Of everything that is drawn.")
@click.option("--only", default="", help="Illnesses with these words in their names.")
def main(base: Path, queries: Path, out: Path, rows: int, seed: int, only: str) -> None:
    """Plant every illness in indexes over the vectors in BASE and diagnose each with QUERIES."""
    ground = ground_of(base, queries, rows, seed)
    found = []
    for name in illnesses():
        if only in name:
            found.append(diagnosed(name, ground))
            row = found[-1]
            mark = "right" if row.right else "WRONG"
            click.echo(f"{mark}: {name}: {row.first} {row.shares} {row.truths}", err=True)
    answer = Answer(
        base=base.parent.name,
        n=len(ground.x),
        d=ground.x.shape[1],
        n_queries=len(ground.queries),
        command=f"python -m benchmarks.diagnosis.causes {base.name} {queries.name} "
        f"--rows {rows} --seed {seed}",
        created=now(),
        machine=describe_machine(),
        versions={**describe_versions(), "faiss": faiss.__version__},
        rows=found,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, msgspec.json.format(msgspec.json.encode(answer), indent=1) + b"\n")
    click.echo("\n".join(lines(answer)))
    sys.exit(0 if all(row.right for row in found) else 1)


if __name__ == "__main__":
    main()
