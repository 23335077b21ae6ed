"""The small version for readers who distrust us: 6,000 rows of the repository's data, at most 3 minutes.

python -m benchmarks.sweep.quick
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.common import ROOT
from benchmarks.sweep.__main__ import benchmark
from benchmarks.sweep.contestants import FOLKLORE
from benchmarks.sweep.tables import table_lines

DATA = ROOT / "datasets" / "docs-minilm-384"
ROWS = 6_000
CONTESTANTS = ("ours", *FOLKLORE, "tpe8", "random8", "ours-fp32-builder")


@click.command()
@click.option("--out", default="tune-out/bench-quick", show_default=True, type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True, help="Random seed.")
def main(out: Path, seed: int) -> None:
    """Compare ours with folklore, small searches and one ablation on the data in the repository."""
    scores = benchmark(
        DATA / "base.npy", DATA / "queries.npy", out, CONTESTANTS, name="quick", rows=ROWS, seed=seed
    )
    click.echo("\n".join(table_lines(scores)))


if __name__ == "__main__":
    main()
