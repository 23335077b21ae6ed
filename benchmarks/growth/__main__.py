"""Does the extrapolation of ``tune diagnose`` hold? Fitted on 10, 20 and 40 % of the rows, seen at 100 %.

python -m benchmarks.growth BASE.npy QUERIES.npy --out reports/diagnose/growth-NAME.json
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
import msgspec

from benchmarks.diagnosis.causes import ground_of
from benchmarks.diagnosis.planted import built, fitted
from tuner.data.vectors import open_vectors
from tuner.diagnosis.growth import recall_trend
from tuner.diagnosis.opened import open_object
from tuner.diagnosis.questions import questions_for
from tuner.report.tables import table
from tuner.runtime.journal import Journal, write_atomically
from tuner.runtime.machine import describe_machine, describe_versions, now
from tuner.runtime.steps import result_of
from tuner.space import default_space
from tuner.types import Options

SETTINGS = (
    *((f"HNSW{M}", ef) for M in (8, 12, 16, 24, 32) for ef in (32, 128)),
    *(("HNSW16,SQ4", 64), ("HNSW16,SQ8", 64), ("HNSW16_PQ32x8", 128), ("HNSW16,SQ4,RFlat", 128)),
    *(("PCA64,HNSW16", 64), ("HNSW16,RaBitQ", 128)),
)


def fits(kind: str, d: int) -> bool:
    """Return whether vectors of ``d`` columns can be indexed so."""
    return "PCA64" not in kind or d > 64


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: what was said of all rows, and what is."""

    index: str
    ef_search: int
    seen: float
    said: float
    low: float
    high: float
    inside: bool


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """All settings on one set."""

    base: str
    n: int
    d: int
    n_queries: int
    command: str
    created: str
    machine: dict[str, object]
    versions: dict[str, str]
    rows: list[Row]


@click.command()
@click.argument("base", type=click.Path(exists=True, path_type=Path))
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The answer as JSON.")
@click.option("--rows", default=0, help="Rows of BASE, at random; 0 for all.")
@click.option("--seed", default=0, show_default=True, help="Of the subsets.")
def main(base: Path, queries: Path, out: Path, rows: int, seed: int) -> None:
    """Build indexes on parts of the vectors in BASE, and say what all would do before they are seen."""
    ground = ground_of(base, queries, rows or sys.maxsize, seed)
    n = len(ground.x)
    found = []
    with tempfile.TemporaryDirectory() as work:
        options = Options(recall=0.95, seed=seed, space=default_space())
        vectors, asked = open_vectors(ground.x, "base"), open_vectors(ground.queries, "queries")
        for kind, ef_search in SETTINGS:
            if not fits(kind, ground.x.shape[1]):
                continue
            index = built(kind, ground.x, ef_search=ef_search)
            opened = open_object(index, ground.x.shape[1], None)
            steps = questions_for(
                Journal(Path(work), {}, resume=False), opened, vectors, asked, options, Path(work)
            )
            questions = result_of(steps)
            trend = result_of(recall_trend(questions, opened, normalised=False))
            if trend is None:
                raise click.UsageError(f"{base}: too few rows to take a part of")
            said = trend.at(n)
            seen = ground.recall(index.search(ground.queries, 10)[1])
            inside = said.low <= seen <= said.high
            found.append(
                Row(
                    index=fitted(kind, ground.x.shape[1]),
                    ef_search=ef_search,
                    seen=seen,
                    said=said.recall,
                    low=said.low,
                    high=said.high,
                    inside=inside,
                )
            )
            click.echo(
                f"{kind} ef {ef_search}: {said.recall:.4f} ({said.low:.4f} to {said.high:.4f}), "
                f"seen {seen:.4f}{'' if inside else '  OUTSIDE'}",
                err=True,
            )
    answer = Answer(
        base=base.parent.name,
        n=n,
        d=ground.x.shape[1],
        n_queries=len(ground.queries),
        command=f"python -m benchmarks.growth {base.name} {queries.name} --rows {rows} --seed {seed}",
        created=now(),
        machine=describe_machine(),
        versions=describe_versions(),
        rows=found,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, msgspec.json.format(msgspec.json.encode(answer), indent=1) + b"\n")
    head = ("index", "ef_search", "said, from 10, 20 and 40 %", "error bar", "seen", "inside")
    cells = (
        (
            row.index,
            str(row.ef_search),
            f"{row.said:.4f}",
            f"{row.low:.4f} to {row.high:.4f}",
            f"{row.seen:.4f}",
            "yes" if row.inside else "**no**",
        )
        for row in found
    )
    click.echo("\n".join(table(head, cells)))


if __name__ == "__main__":
    main()
