"""What a sweep over shards would take on paper, by the model that runs make their estimate of.

python -m benchmarks.cluster.paper
"""

from __future__ import annotations

import click

from tuner.cluster.forecast import stages_of_shards
from tuner.report.tables import table
from tuner.report.words import seconds_text
from tuner.types import Options

D, N_QUERIES = 256, 2_000
CASES = {
    "115,659 rows, 8 shards, 1 core": (115_659, 8, 1, 1),
    "the same, 2 machines of 1 core": (115_659, 8, 2, 1),
    "the same, 3": (115_659, 8, 3, 1),
    "295,620 rows, 8 shards, 3 of 1 core": (295_620, 8, 3, 1),
    "1,000,000 rows, 8 shards, 1 core": (1_000_000, 8, 1, 1),
    "10^8 rows, 100 shards, 100 of 16 cores": (10**8, 100, 100, 16),
    "10^9 rows, 1,000 shards, 100 of 16 cores": (10**9, 1_000, 100, 16),
}
"""Rows, shards, machines and cores of each."""
GROUPS = {
    "read and profile, prepare": ("look", "prepare"),
    "truth, and neighbours for ceilings": ("truth", "pool-near"),
    "the sweep on one shard, graphs of its parts": (
        *("stand-in", "graph", "curves", "ceilings", "frontier", "parts"),
    ),
    "graphs of all shards": ("graphs",),
    "finalists searched on all shards": ("merged", "together"),
    "timing, one query at a time": ("timing",),
    "write and check": ("deliver",),
}


@click.command()
def main() -> None:
    """Print the modelled seconds of each part of some sweeps, on the machine of the reports."""
    found = []
    for n, n_shards, n_nodes, cores in CASES.values():
        options = Options(recall=0.95, threads=cores)
        stages = stages_of_shards(n, D, N_QUERIES, options, n_shards, n_nodes)
        found.append({stage.name: stage.wall_s for stage in stages})
    rows = [
        (title, *(seconds_text(sum(each.get(name, 0.0) for name in names)) for each in found))
        for title, names in GROUPS.items()
    ]
    rows.append(("all", *(seconds_text(sum(each.values())) for each in found)))
    click.echo("\n".join(table(("", *CASES), rows)))


if __name__ == "__main__":
    main()
