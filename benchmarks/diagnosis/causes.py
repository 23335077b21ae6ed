"""Does ``tune diagnose`` name what is wrong? Causes planted in indexes over real vectors, each diagnosed.

python -m benchmarks.diagnosis.causes BASE.npy QUERIES.npy --out reports/diagnose/causes-NAME.json
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

import tuner
from benchmarks.common import FILE, findings, write_json
from benchmarks.diagnosis.catalogue import planted_causes
from benchmarks.diagnosis.vectors import ROWS, UnitVectors, read_unit_vectors
from tuner.diagnosis import Diagnosis
from tuner.report.tables import table

MOST_DIFFERENCE = 0.02
"""Difference allowed between a share and the truth: two points of recall."""
HEAD = (
    *("planted", "index", "recall", "named first", "truth, points", "found, points", "residual"),
    "right",
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One planted cause, and what was found.

    Attributes:
        planted: name of what was planted.
        label: index and search parameter, as the diagnosis shows them.
        recall: recall of the index.
        truths: recall that each cause takes away by construction, by the cause's name.
        shares: recall that the diagnosis says each of them takes away.
        residual: recall that all its causes leave unexplained.
        first: cause that it names first.
        right: whether it names the right one first, with each share within two points.
    """

    planted: str = msgspec.field(name="illness")
    label: str
    recall: float
    truths: dict[str, float]
    shares: dict[str, float]
    residual: float
    first: str
    right: bool


def diagnosed(name: str, vectors: UnitVectors) -> Row:
    """Plant a cause, ask for the diagnosis and compare."""
    planted = planted_causes()[name](vectors)
    found = tuner.diagnose(planted.index, planted.x, planted.queries, metric=planted.metric)
    first = "healthy" if found.first is None else found.first.name
    shares = {cause: share_of(found, cause) for cause in planted.losses}
    close = all(abs(shares[cause] - loss) <= MOST_DIFFERENCE for cause, loss in planted.losses.items())
    return Row(
        planted=name,
        label=f"{found.label} {found.search_param}={found.value}" if found.search_param else found.label,
        recall=found.recall.mean,
        truths=planted.losses,
        shares=shares,
        residual=found.residual,
        first=first,
        right=first == planted.first and close,
    )


def share_of(found: Diagnosis, name: str) -> float:
    """Return the recall that a diagnosis says a cause takes away."""
    causes = found.causes if found.drift is None else (*found.causes, found.drift)
    return sum(cause.share for cause in causes if cause.name == name)


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table in Markdown."""
    return (
        row.planted,
        row.label,
        f"{row.recall:.4f}",
        row.first,
        "; ".join(f"{name} {100 * share:.1f}" for name, share in row.truths.items()),
        "; ".join(f"{name} {100 * share:.1f}" for name, share in row.shares.items()),
        f"{100 * row.residual:.2f}",
        "yes" if row.right else "**no**",
    )


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="JSON file of the answer.")
@click.option("--rows", default=ROWS, show_default=True, help="Rows of BASE, at random.")
@click.option("--seed", default=0, show_default=True, help="Random seed.")
@click.option("--only", default="", help="Words in the names of the causes to plant.  [default: all]")
def main(base: Path, queries: Path, out: Path, rows: int, seed: int, only: str) -> None:
    """Plant every cause in indexes over the vectors in BASE and diagnose each with QUERIES."""
    vectors = read_unit_vectors(base, queries, rows, seed)
    found = []
    for name in planted_causes():
        if only in name:
            found.append(diagnosed(name, vectors))
            row = found[-1]
            mark = "right" if row.right else "WRONG"
            click.echo(f"{mark}: {name}: {row.first} {row.shares} {row.truths}", err=True)
    write_json(findings(base, vectors.x.shape, len(vectors.queries), found), out)
    click.echo("\n".join(table(HEAD, map(cells, found))))
    sys.exit(0 if all(row.right for row in found) else 1)


if __name__ == "__main__":
    main()
