"""Draw ``table.md`` and the plots again from ``scores.json``: nothing is measured.

python -m benchmarks.sweep.redraw reports/benchmarks/docs-20k ...
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.sweep.plots import plot_all
from benchmarks.sweep.tables import SCORES, TABLE, read_scores, write_table


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def main(folders: tuple[Path, ...]) -> None:
    """Write the table and the plots of FOLDERS again."""
    for folder in folders:
        scores = read_scores(folder / SCORES)
        write_table(scores, folder)
        plot_all(scores, folder)
        click.echo(f"{folder / TABLE}")


if __name__ == "__main__":
    main()
