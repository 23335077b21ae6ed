"""The answer on screen: a sentence, the front as a table and drawn, what to know, the next command.

It fits a terminal of 80 x 24 without colour: what has no room there is in the report, and counted. A file or
a pipe gets everything.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.box import Box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from tuner.report.filters import filters_sentence
from tuner.report.sharded import sharded_sentence
from tuner.report.words import (
    asked_for,
    cost_sentence,
    data_sentence,
    earlier_sentence,
    gain_sentence,
    list_sentence,
    names_of,
    recommended_point,
    sample_sentence,
    shown_points,
    trust_sentence,
    verdict,
)
from tuner.text import counted, one_lined
from tuner.types import OperatingPoint, Result

RULED_HEAD = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
STATUS_STYLE = {
    "reached": "bold green",
    "not_reached": "bold yellow",
    "exact": "bold green",
    "extrapolated": "bold green",
    "sharded": "bold green",
}
LABEL_WIDTH = 21  # what is left of 80 columns beside the figures
MOST_ROWS = 4
"""Points in the table: the named ones, and one more where there is room."""
KEPT_FREE = 2
"""Lines of a terminal for the one above, which names the files, and for the shell's prompt."""
MARKS = {"smallest": "S", "balanced": "B", "fastest": "F"}
PLOT_WIDTH, PLOT_HEIGHT = 48, 4


@dataclass(frozen=True)
class Following:
    """The command to type next, and why."""

    why: str
    command: str


def show_result(result: Result, console: Console, following: Following | None = None) -> None:
    """Draws the whole answer on the console given.

    Args:
        result: what the run found.
        console: where to; its size and colours are respected.
        following: last line; None where nobody will type anything.
    """
    result = one_lined(result)
    above, plot, below = list(_above(result)), list(_plot(result)), list(_below(following))
    warnings, remarks = _warnings(result), list(_remarks(result))
    n_first = len(result.advice) if result.status == "not_reached" else 0
    notes = [*remarks[:n_first], *warnings, *remarks[n_first:]]
    if console.is_terminal:
        room = console.height - KEPT_FREE - _height(console, [*above, *below])
        urgent = notes[: n_first + len(warnings)]
        needed = _height(console, urgent) + (len(notes) > len(urgent))
        if needed > room - len(plot):  # a doubt is worth more than a drawing
            plot = list(_legend(result))
        notes = _fitting(console, notes, room - len(plot))
    for line in [*above, *plot, *notes]:
        console.print(line)
    left_out = [each for each in (*warnings, *remarks) if each not in notes]
    if left_out:
        console.print(Text(_left_out(sum(each in warnings for each in left_out), len(left_out)), style="dim"))
    for line in below:  # a command is one line, however narrow the terminal
        console.print(line, soft_wrap=True)


def _above(result: Result) -> Iterator[RenderableType]:
    yield Text(verdict(result), style=STATUS_STYLE[result.status])
    sentences = (
        sample_sentence,
        sharded_sentence,
        filters_sentence,
        gain_sentence,
        earlier_sentence,
        list_sentence,
    )
    for line in (write(result) for write in sentences):
        if line:
            yield Text(line)
    if shown_points(result):
        yield Text()
        yield _front_table(result)
        yield from (Text(line, style="dim") for line in _footnotes(result))


def _below(following: Following | None) -> Iterator[Text]:
    if following is not None:
        yield Text(following.why)
        yield Text(following.command, style="bold")


def _warnings(result: Result) -> list[Text]:
    return [Text(f"Warning: {warning}", style="yellow") for warning in result.warnings]


def _remarks(result: Result) -> Iterator[Text]:
    """What else there is to know, the most useful first."""
    helps = "What would help" if result.status == "not_reached" else "Advice"
    yield from (Text(f"{helps}: {text}", style="cyan") for text in result.advice)
    yield Text(f"{data_sentence(result)} Asked: {asked_for(result.options)}.", style="dim")
    yield from (Text(line, style="dim") for line in (trust_sentence(result), cost_sentence(result)) if line)


def _height(console: Console, shown: Sequence[RenderableType]) -> int:
    return sum(len(console.render_lines(each, pad=False)) for each in shown)


def _fitting(console: Console, notes: list[Text], room: int) -> list[Text]:
    """The notes for which there is room, in order, and for a line that counts the others."""
    if _height(console, notes) <= room:
        return notes
    kept: list[Text] = []
    room -= 1
    for note in notes:
        if (lines := _height(console, [note])) <= room:
            kept.append(note)
            room -= lines
    return kept


def _left_out(n_warnings: int, n: int) -> str:
    """How many notes had no room."""
    if n_warnings == 0:
        return f"{counted(n, 'more remark')} in report.md."
    rest = f" and {counted(n - n_warnings, 'remark')}" if n > n_warnings else ""
    return f"{counted(n_warnings, 'more warning')}{rest} in report.md."


def _front_table(result: Result) -> Table:
    table = Table(box=RULED_HEAD, show_edge=False, padding=0)
    if result.extrapolation is not None:
        table.title, table.title_justify = "As measured on the sample", "left"
    table.add_column("", no_wrap=True)
    table.add_column("index", max_width=LABEL_WIDTH, overflow="fold")
    latency_unit, factor = _latency_unit(result)
    for head in ("ef", "recall", "lower", "B/vector", "MB", f"p50/p95 {latency_unit}", "ndis"):
        table.add_column(head, justify="right", no_wrap=True)
    chosen = recommended_point(result)
    for i in _rows(result):
        point = result.points[i]
        recall = point.recall
        table.add_row(
            _marks(result, i),
            Text(_index_cell(point)),
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


def _rows(result: Result) -> list[int]:
    """Positions of the points in the table: those with a name, then others, in the order of memory."""
    shown = shown_points(result)
    first = sorted(shown, key=lambda i: not names_of(result, i))[:MOST_ROWS]
    return [i for i in shown if i in first]


def _marks(result: Result, position: int) -> str:
    return "".join(MARKS[name] for name in names_of(result, position))


def _index_cell(point: OperatingPoint) -> str:
    """The label, broken at a comma where it is long."""
    lines = [""]
    for part in point.configuration.label.split(","):
        joined = f"{lines[-1]},{part}" if lines[-1] else part
        if len(joined) < LABEL_WIDTH:
            lines[-1] = joined
        else:
            lines[-1] += ","
            lines.append(part)
    return "\n".join(lines)


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
    if len(shown) > MOST_ROWS:
        yield f"{counted(len(shown) - MOST_ROWS, 'more point')} in report.md."
    best, chosen = result.recommendation, recommended_point(result)
    if best is not None and chosen is not None:
        seen = f"{result.points[chosen].recall.mean:.4f}"
        if seen != f"{best.recall:.4f}":
            yield f"Of new queries {best.recall:.4f} is expected, of these {seen}: they chose the index."
    on_disk = [result.points[i] for i in shown if result.points[i].memory.disk_bytes]
    if on_disk:
        most = max(on_disk, key=lambda point: point.memory.disk_bytes)
        yield (
            f"@disk: up to {most.memory.disk_bytes / 1e6:,.1f} MB beside the index and "
            f"{most.reads_per_query:,.0f} random reads a query, not in memory."
        )


def _plot(result: Result) -> Iterator[Text]:
    """The timed points of the front by memory and median latency, and what its marks mean."""
    timed = [(i, result.points[i]) for i in shown_points(result)]
    drawn = {
        i: (point.memory.resident_bytes / 1e6, point.latency.p50_s) for i, point in timed if point.latency
    }
    if len(set(drawn.values())) < 2:
        yield from _legend(result)
        return
    sizes, times = [x for x, _ in drawn.values()], [y for _, y in drawn.values()]
    unit, factor = _latency_unit(result)
    grid = [[" "] * PLOT_WIDTH for _ in range(PLOT_HEIGHT)]
    for i in sorted(drawn, key=lambda i: bool(_marks(result, i))):  # named ones last, over the others
        x, y = drawn[i]
        column = _place(x, min(sizes), max(sizes), PLOT_WIDTH)
        grid[PLOT_HEIGHT - 1 - _place(y, min(times), max(times), PLOT_HEIGHT)][column] = (
            _marks(result, i)[-1:] or "o"
        )
    ends = {0: max(times), PLOT_HEIGHT - 1: min(times)}
    for number, line in enumerate(grid):
        side = f"{_figure(ends[number] * factor)} {unit}" if number in ends else ""
        yield Text(f"{side:>9} |{''.join(line)}".rstrip())
    extent = f"{min(sizes):,.1f} to {max(sizes):,.1f} MB"
    yield Text("; ").join([Text(f"{'':>10}+- {extent}"), *_legend(result)])


def _legend(result: Result) -> Iterator[Text]:
    """What the marks mean; nothing where no point has a name."""
    if result.named:
        yield Text(", ".join(f"{mark} {name}" for name, mark in MARKS.items() if name in result.named))


def _place(value: float, low: float, high: float, n: int) -> int:
    """The cell of n between two ends that a value falls into."""
    return 0 if high <= low else round((n - 1) * (value - low) / (high - low))
