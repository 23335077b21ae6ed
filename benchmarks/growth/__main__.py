"""Does the extrapolation of ``tune diagnose`` hold? Fitted on 10, 20 and 40 % of the rows, seen at 100 %.

python -m benchmarks.growth BASE.npy QUERIES.npy --out reports/diagnose/growth-NAME.json
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
import msgspec

from benchmarks.common import FILE, findings, write_json
from benchmarks.diagnosis.indexes import build_index, fitting_factory
from benchmarks.diagnosis.vectors import K, UnitVectors, read_unit_vectors
from tuner.data.vectors import open_vectors
from tuner.diagnosis.growth import recall_trend
from tuner.diagnosis.questions import questions_for
from tuner.index.opened import open_object
from tuner.report.tables import table
from tuner.runtime.journal import Journal
from tuner.runtime.steps import result_of
from tuner.space import default_space
from tuner.types import Options

SETTINGS = (
    *((f"HNSW{M}", ef) for M in (8, 12, 16, 24, 32) for ef in (32, 128)),
    *(("HNSW16,SQ4", 64), ("HNSW16,SQ8", 64), ("HNSW16_PQ32x8", 128), ("HNSW16,SQ4,RFlat", 128)),
    *(("PCA64,HNSW16", 64), ("HNSW16,RaBitQ", 128)),
)
"""Factory string and ef_search of each index."""
HEAD = ("index", "ef_search", "said, from 10, 20 and 40 %", "error bar", "seen", "inside")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: the recall that was extrapolated to all rows, and the recall that they have.

    Attributes:
        index: factory string.
        ef_search: ef_search of the index.
        seen: recall at all rows.
        extrapolated: extrapolated recall at all rows.
        low: lower end of the error bar.
        high: upper end of the error bar.
        inside: whether the recall lies within the error bar.
    """

    index: str
    ef_search: int
    seen: float
    extrapolated: float
    low: float
    high: float
    inside: bool


def fits(kind: str, d: int) -> bool:
    """Return whether vectors of ``d`` columns can be indexed so."""
    return "PCA64" not in kind or d > 64


def extrapolated(kind: str, ef_search: int, vectors: UnitVectors, seed: int) -> Row | None:
    """Return the extrapolated and the seen recall, or None where there are too few rows to take a part of."""
    index = build_index(kind, vectors.x, ef_search=ef_search)
    opened = open_object(index, vectors.x.shape[1], None)
    options = Options(recall=0.95, seed=seed, space=default_space())
    base, asked = open_vectors(vectors.x, "base"), open_vectors(vectors.queries, "queries")
    with tempfile.TemporaryDirectory() as work:
        journal = Journal(Path(work), {}, resume=False)
        questions = result_of(questions_for(journal, opened, base, asked, options, Path(work)))
        trend = result_of(recall_trend(questions, opened, normalised=False))
    if trend is None:
        return None
    ahead = trend.at(len(vectors.x))
    seen = vectors.recall(index.search(vectors.queries, K)[1])
    return Row(
        index=fitting_factory(kind, vectors.x.shape[1]),
        ef_search=ef_search,
        seen=seen,
        extrapolated=ahead.recall,
        low=ahead.low,
        high=ahead.high,
        inside=ahead.low <= seen <= ahead.high,
    )


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table in Markdown."""
    return (
        row.index,
        str(row.ef_search),
        f"{row.extrapolated:.4f}",
        f"{row.low:.4f} to {row.high:.4f}",
        f"{row.seen:.4f}",
        "yes" if row.inside else "**no**",
    )


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="JSON file of the answer.")
@click.option("--rows", default=0, help="Rows of BASE, at random; 0 for all.")
@click.option("--seed", default=0, show_default=True, help="Random seed.")
def main(base: Path, queries: Path, out: Path, rows: int, seed: int) -> None:
    """Build indexes on parts of the vectors in BASE, and say what all would do before they are seen."""
    vectors = read_unit_vectors(base, queries, rows or sys.maxsize, seed)
    found = []
    for kind, ef_search in SETTINGS:
        if not fits(kind, vectors.x.shape[1]):
            continue
        row = extrapolated(kind, ef_search, vectors, seed)
        if row is None:
            raise click.UsageError(f"{base}: too few rows to take a part of")
        found.append(row)
        click.echo(" ".join(cells(row)), err=True)
    write_json(findings(base, vectors.x.shape, len(vectors.queries), found), out)
    click.echo("\n".join(table(HEAD, map(cells, found))))


if __name__ == "__main__":
    main()
