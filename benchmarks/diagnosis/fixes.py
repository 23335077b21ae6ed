"""Do the fixes of ``tune diagnose`` hold? Indexes below the target, fixed, read again and searched.

python -m benchmarks.diagnosis.fixes BASE.npy QUERIES.npy --out reports/diagnose/fixes-NAME.json
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
import faiss
import msgspec

import tuner
from benchmarks.common import FILE, findings, write_json
from benchmarks.diagnosis.indexes import build_index, fitting_factory
from benchmarks.diagnosis.vectors import ROWS, K, UnitVectors, read_unit_vectors
from tuner.report.tables import table

TARGET = 0.95
SETTINGS = (
    *(("HNSW16", 16), ("HNSW16,SQ4", 64), ("HNSW16_PQ32x8", 128), ("HNSW16,RaBitQ", 128)),
    *(("HNSW16,RaBitQ2", 64), ("HNSW16,SQ4,RFlat", 128), ("IVF256,Flat", 0)),
)
"""Factory string and ef_search of each index, none of which reaches the target; 0 for 4 lists of IVF."""
HEAD = (
    *("index (recall, first cause)", "cheapest that works", "done", "recall promised (bound)"),
    *("recall of the file", "MB promised", "MB of the file", "time / before", "dearer ones that work"),
    "holds",
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The first fix for one index, applied.

    Attributes:
        index: factory string.
        cause: cause that the diagnosis names first.
        before: recall of the index as it was.
        kind: kind of the first fix, by what it costs the user.
        others: kinds of the other fixes that work.
        done: title of the fix, and its search parameter.
        promised: recall that was measured for it, on the half of the queries that chose nothing.
        lower: lower bound of the promised recall.
        seen: recall of the written file on all queries, reckoned here.
        promised_bytes: bytes that were promised.
        bytes: bytes of the written file.
        time: latency after the fix over latency before.
        holds: whether the file's recall is at least the bound, the bound meets the target, and the
            bytes agree.
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


def index_below_target(kind: str, ef_search: int, vectors: UnitVectors) -> faiss.Index:
    """Return an index below the target; RaBitQ of 2 bits is not in faiss's factory."""
    if kind == "HNSW16,RaBitQ2":
        index = faiss.IndexHNSWRaBitQ(vectors.x.shape[1], 16, 2)
        index.train(vectors.x)
        index.add(vectors.x)
        index.hnsw.efSearch = ef_search
        return index
    index = build_index(kind, vectors.x, ef_search=ef_search)
    if not ef_search:
        index.nprobe = 4
    return index


def fixed(kind: str, ef_search: int, vectors: UnitVectors, folder: Path) -> Row:
    """Apply the first fix for an index, and search what was written."""
    out, index = folder / "fixed.faiss", index_below_target(kind, ef_search, vectors)
    before = vectors.recall(index.search(vectors.queries, K)[1])
    found = tuner.diagnose(index, vectors.x, vectors.queries, metric="cosine", apply=1, out=out)
    fix = found.prescriptions[0]
    seen = vectors.recall(faiss.read_index(str(out)).search(vectors.queries, K)[1])
    size = out.stat().st_size
    return Row(
        index=fitting_factory(kind, vectors.x.shape[1]),
        cause=found.first.name if found.first else "healthy",
        before=before,
        kind=fix.kind,
        others=[other.kind for other in found.prescriptions[1:]],
        done=f"{fix.title}; {fix.search_param}={fix.value}",
        promised=fix.recall.mean,
        lower=fix.recall.lower,
        seen=seen,
        promised_bytes=fix.index_bytes,
        bytes=size,
        time=fix.latency_ratio or 0.0,
        holds=before < TARGET and seen >= fix.recall.lower >= TARGET and size == fix.index_bytes,
    )


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table in Markdown."""
    return (
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


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="JSON file of the answer.")
@click.option("--rows", default=ROWS, show_default=True, help="Rows of BASE, at random.")
@click.option("--seed", default=0, show_default=True, help="Random seed.")
def main(base: Path, queries: Path, out: Path, rows: int, seed: int) -> None:
    """Fix indexes over the vectors in BASE that miss the target with QUERIES."""
    vectors = read_unit_vectors(base, queries, rows, seed)
    found: list[Row] = []
    for kind, ef_search in SETTINGS:
        with tempfile.TemporaryDirectory() as folder:
            found.append(fixed(kind, ef_search, vectors, Path(folder)))
        click.echo(f"{kind}: {found[-1].kind}, {found[-1].holds}", err=True)
    write_json(findings(base, vectors.x.shape, len(vectors.queries), found), out)
    click.echo("\n".join(table(HEAD, map(cells, found))))
    sys.exit(0 if all(row.holds for row in found) else 1)


if __name__ == "__main__":
    main()
