"""Does what ``tune diagnose`` prescribes hold? Indexes below the target, mended, read again and searched.

python -m benchmarks.diagnosis.fixes BASE.npy QUERIES.npy --out reports/diagnose/cures-NAME.json
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
import faiss
import msgspec

import tuner
from benchmarks.diagnosis.causes import ROWS, ground_of
from benchmarks.diagnosis.planted import Ground, K, built, fitted
from tuner.report.tables import table
from tuner.runtime.journal import write_atomically
from tuner.runtime.machine import describe_machine, describe_versions, now

TARGET = 0.95
SETTINGS = (
    *(("HNSW16", 16), ("HNSW16,SQ4", 64), ("HNSW16_PQ32x8", 128), ("HNSW16,RaBitQ", 128)),
    *(("HNSW16,RaBitQ2", 64), ("HNSW16,SQ4,RFlat", 128), ("IVF256,Flat", 0)),
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The first prescription for one index, applied.

    Attributes:
        before: recall of the index as it was.
        kind: what the first prescription costs the user; ``others`` likewise.
        promised: recall that was measured for it, on the half of the queries that chose nothing.
        lower: its bound.
        seen: recall of the file on all queries, reckoned here.
        bytes: of the file.
        promised_bytes: that were said.
        holds: what is in the file is at least as good as the bound said, and as small.
    """

    index: str
    cause: str
    before: float
    kind: str
    others: list[str]
    done: str
    promised: float
    lower: float
    seen: float
    promised_bytes: int
    bytes: int
    time: float
    holds: bool


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """All indexes on one set."""

    base: str
    n: int
    d: int
    n_queries: int
    command: str
    created: str
    machine: dict[str, object]
    versions: dict[str, str]
    rows: list[Row]


def ill(kind: str, ef_search: int, ground: Ground) -> faiss.Index:
    """Return an index below the target; RaBitQ of 2 bits is not in faiss's factory."""
    if kind == "HNSW16,RaBitQ2":
        index = faiss.IndexHNSWRaBitQ(ground.x.shape[1], 16, 2)
        index.train(ground.x)
        index.add(ground.x)
        index.hnsw.efSearch = ef_search
        return index
    index = built(kind, ground.x, ef_search=ef_search)
    if not ef_search:
        index.nprobe = 4
    return index


def mended(kind: str, ef_search: int, ground: Ground, folder: Path) -> Row:
    """Apply the first prescription for an index, and search what was written."""
    out, index = folder / "mended.faiss", ill(kind, ef_search, ground)
    before = ground.recall(index.search(ground.queries, K)[1])
    found = tuner.diagnose(index, ground.x, ground.queries, metric="cosine", apply=1, out=out)
    said = found.prescriptions[0]
    seen = ground.recall(faiss.read_index(str(out)).search(ground.queries, K)[1])
    size = out.stat().st_size
    return Row(
        index=fitted(kind, ground.x.shape[1]),
        cause=found.first.name if found.first else "healthy",
        before=before,
        kind=said.kind,
        others=[other.kind for other in found.prescriptions[1:]],
        done=f"{said.title}; {said.knob}={said.effort}",
        promised=said.recall.mean,
        lower=said.recall.lower,
        seen=seen,
        promised_bytes=said.index_bytes,
        bytes=size,
        time=said.latency_ratio or 0.0,
        holds=before < TARGET and seen >= said.recall.lower >= TARGET and size == said.index_bytes,
    )


@click.command()
@click.argument("base", type=click.Path(exists=True, path_type=Path))
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The answer as JSON.")
@click.option("--rows", default=ROWS, show_default=True, help="Rows of BASE, at random.")
@click.option("--seed", default=0, show_default=True, help="Of everything that is drawn.")
def main(base: Path, queries: Path, out: Path, rows: int, seed: int) -> None:
    """Mend indexes over the vectors in BASE that miss the target with QUERIES."""
    ground = ground_of(base, queries, rows, seed)
    found: list[Row] = []
    for kind, ef_search in SETTINGS:
        with tempfile.TemporaryDirectory() as folder:
            found.append(mended(kind, ef_search, ground, Path(folder)))
        click.echo(f"{kind}: {found[-1].kind}, {found[-1].holds}", err=True)
    answer = Answer(
        base=base.parent.name,
        n=len(ground.x),
        d=ground.x.shape[1],
        n_queries=len(ground.queries),
        command=f"python -m benchmarks.diagnosis.fixes {base.name} {queries.name} "
        f"--rows {rows} --seed {seed}",
        created=now(),
        machine=describe_machine(),
        versions=describe_versions(),
        rows=found,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, msgspec.json.format(msgspec.json.encode(answer), indent=1) + b"\n")
    cells = (
        (
            f"{row.index} ({row.before:.4f}, {row.cause})",
            row.kind,
            row.done,
            f"{row.promised:.4f} ({row.lower:.4f})",
            f"{row.seen:.4f}",
            f"{row.promised_bytes / 1e6:.2f}",
            f"{row.bytes / 1e6:.2f}",
            f"{row.time:.2f}",
            ", ".join(row.others),
            "yes" if row.holds else "**no**",
        )
        for row in found
    )
    named = ("index (recall, first cause)", "cheapest that works", "done")
    recalls = ("recall promised (bound)", "recall of the file")
    sizes = ("MB promised", "MB of the file", "time / before", "dearer ones that work", "holds")
    click.echo("\n".join(table((*named, *recalls, *sizes), cells)))
    sys.exit(0 if all(row.holds for row in found) else 1)


if __name__ == "__main__":
    main()
