"""The answer on screen: the front as a table, then one sentence a subject; 80 columns, colour not needed."""

from collections.abc import Iterator

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tuner.report.words import (
    asked_for,
    cost_sentence,
    data_sentence,
    earlier_sentence,
    gain_sentence,
    list_sentence,
    names_of,
    recommended_point,
    shown_points,
    trust_sentence,
    verdict,
)
from tuner.text import one_lined
from tuner.types import OperatingPoint, Result

RULED_HEAD = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
STATUS_STYLE = {"reached": "bold green", "not_reached": "bold yellow", "exact": "bold green"}
LABEL_WIDTH = 21  # what is left of 80 columns beside the figures


def show_result(result: Result, console: Console) -> None:
    """Draws the whole answer on the console given.

    Args:
        result: what the run found.
        console: where to; its width and colours are respected.
    """
    result = one_lined(result)
    console.print(Text(f"{data_sentence(result)} Asked: {asked_for(result.options)}."))
    console.print()
    if shown_points(result):
        console.print(_front_table(result))
        for footnote in _footnotes(result):
            console.print(Text(footnote, style="dim"))
        console.print()
    console.print(Text(verdict(result), style=STATUS_STYLE[result.status]))
    for line in _after(result):
        console.print(line)


def _after(result: Result) -> Iterator[Text]:
    for line in (earlier_sentence(result), gain_sentence(result), list_sentence(result)):
        if line:
            yield Text(line)
    for warning in result.warnings:
        yield Text(f"Warning: {warning}", style="yellow")
    helps = "What would help" if result.status == "not_reached" else "Advice"
    for advice in result.advice:
        yield Text(f"{helps}: {advice}", style="cyan")
    for line in (trust_sentence(result), cost_sentence(result)):
        if line:
            yield Text(line, style="dim")


def _front_table(result: Result) -> Table:
    title = "The Pareto front, smallest first" if result.front else "The points that come closest"
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=RULED_HEAD,
        show_edge=False,
        padding=0,
    )
    table.add_column("index", max_width=LABEL_WIDTH, overflow="fold")
    latency_unit, factor = _latency_unit(result)
    for head in ("ef", "recall", "lower", "B/vector", "MB", f"p50/p95 {latency_unit}", "ndis"):
        table.add_column(head, justify="right", no_wrap=True)
    chosen = recommended_point(result)
    for i in shown_points(result):
        point = result.points[i]
        recall = point.recall
        table.add_row(
            Text(_index_cell(result, i)),
            str(point.ef_search),
            f"{recall.mean:.4f}",
            f"{recall.lower:.4f}",
            f"{point.memory.resident_bytes / result.profile.n_indexed:,.0f}",
            f"{point.memory.resident_bytes / 1e6:,.1f}",
            _latency(point, factor),
            f"{point.ndis_per_query:,.0f}",
            style="bold" if i == chosen else "",
        )
    return table


def _index_cell(result: Result, position: int) -> str:
    """The label, broken at a comma where it is long, and below it the names the point has earned."""
    lines = [""]
    for part in result.points[position].configuration.label.split(","):
        joined = f"{lines[-1]},{part}" if lines[-1] else part
        if len(joined) < LABEL_WIDTH:
            lines[-1] = joined
        else:
            lines[-1] += ","
            lines.append(part)
    names = names_of(result, position)
    return "\n".join([*lines, f"  {', '.join(names)}"] if names else lines)


def _latency_unit(result: Result) -> tuple[str, float]:
    measured = [point.latency.p95_s for point in result.points if point.latency is not None]
    return ("ms", 1e3) if measured and max(measured) >= 0.01 else ("us", 1e6)


def _latency(point: OperatingPoint, factor: float) -> str:
    if point.latency is None:
        return "-"
    return f"{_figure(point.latency.p50_s * factor)}/{_figure(point.latency.p95_s * factor)}"


def _figure(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _footnotes(result: Result) -> Iterator[str]:
    shown = shown_points(result)
    on_disk = [result.points[i] for i in shown if result.points[i].memory.disk_bytes]
    if on_disk:
        most = max(on_disk, key=lambda point: point.memory.disk_bytes)
        yield (
            f"@disk: up to {most.memory.disk_bytes / 1e6:,.1f} MB beside the index and "
            f"{most.reads_per_query:,.0f} random reads a query, not in memory."
        )
