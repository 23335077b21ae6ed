"""The same figures as pictures (SVG): cost against quality, memory against latency, cost against n.

    python -m benchmarks.sweep.plots SCORES.json [SCORES.json ...] --out COST.svg

draws the cost against n from the scores of several sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.sweep.score import Scored
from benchmarks.sweep.tables import Scores, read_scores

COST_QUALITY, MEMORY_LATENCY = "cost-quality.svg", "memory-latency.svg"
MET, MISSED = "#1f5fa8", "#c0392b"


def plot_all(scores: Scores, out: Path) -> list[Path]:
    """Write the plots of one benchmark to ``out``; return their paths."""
    return [_cost_quality(scores, out / COST_QUALITY), _memory_latency(scores, out / MEMORY_LATENCY)]


def _cost_quality(scores: Scores, path: Path) -> Path:
    with _axes(path, _source(scores)) as axes:
        for each in scores.scored:
            _point(axes, each.ordinary_builds, each.product_ratio, each, scores.recall)
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="cost, ordinary builds",
            ylabel=f"memory x latency, first row = 1 (A/A {scores.noise_floor:.1%})",
        )
        axes.set_title(f"{scores.name}: what finding the index costs, and what it is worth")
    return path


def _memory_latency(scores: Scores, path: Path) -> Path:
    with _axes(path, _source(scores)) as axes:
        for each in scores.scored:
            _point(axes, each.memory_bytes / scores.n, 1e6 * each.latency.mean_s, each, scores.recall)
        axes.set(xscale="log", yscale="log", xlabel="bytes a vector", ylabel="us a query")
        axes.set_title(f"{scores.name}: memory and latency at recall@{scores.k} {scores.recall}")
    return path


def plot_cost_against_n(several: list[Scores], path: Path) -> Path:
    """Write the cost of each contestant against the number of rows; return the path."""
    ordered = sorted(several, key=lambda scores: scores.n)
    names = dict.fromkeys(
        each.answer.contestant
        for scores in ordered
        for each in scores.scored
        if ":" not in each.answer.contestant
    )
    with _axes(path, _source(ordered[-1])) as axes:
        for name in names:
            found = [
                (scores.n, each.ordinary_builds)
                for scores in ordered
                for each in scores.scored
                if each.answer.contestant == name
            ]
            axes.plot(*zip(*found, strict=True), marker="o", label=name)
        axes.axhline(1, color="grey", linewidth=0.8, linestyle="--")
        axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="cost, ordinary builds")
        axes.legend(fontsize=7)
    return path


def _point(axes: Axes, x: float, y: float, each: Scored, target: float) -> None:
    met = each.meets(target)
    axes.plot([x], [y], "o", color=MET if met else MISSED, fillstyle="full" if met else "none")
    axes.annotate(each.answer.contestant, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7)


def _source(scores: Scores) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in scores.versions.items())
    where = f"{scores.machine['processor']}, {scores.machine['cores']} cores"
    return (
        f"filled: the lower bound of the scorer's recall meets {scores.recall}; hollow: it does not\n"
        f"{scores.command}\n{scores.created}, {where}; {versions}"
    )


@contextmanager
def _axes(path: Path, source: str) -> Iterator[Axes]:
    """Yield axes with the figure's origin written below them, and save them as SVG."""
    mpl.use("Agg")
    with mpl.rc_context({"svg.hashsalt": "benchmarks", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 5.6), layout="constrained")
        axes = figure.subplots()
        axes.grid(which="both", alpha=0.2)
        yield axes
        figure.supxlabel(source, fontsize=6, x=0.01, ha="left")
        figure.savefig(path, metadata={"Date": None})


@click.command()
@click.argument("scores", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The SVG to write.")
def main(scores: tuple[Path, ...], out: Path) -> None:
    """Draw the cost against n from the SCORES of several sizes."""
    plot_cost_against_n([read_scores(path) for path in scores], out)


if __name__ == "__main__":
    main()
