"""Charts of a run as Vega-Lite specifications: what HTML, SVG, PNG and notebooks draw alike."""

from collections.abc import Callable

from tuner.report.charts.bars import loss_chart, memory_chart
from tuner.report.charts.chart import Chart
from tuner.report.charts.filters import filters_chart
from tuner.report.charts.front import front_chart
from tuner.report.charts.picture import picture
from tuner.report.charts.queries import queries_chart, worst_queries
from tuner.report.charts.recall import predicted_chart, recall_chart
from tuner.text import one_lined
from tuner.types import Result

__all__ = ["CHARTS", "Chart", "chart_of", "picture", "worst_queries"]

CHARTS: dict[str, Callable[[Result], Chart | None]] = {
    "front": front_chart,
    "recall": recall_chart,
    "filters": filters_chart,
    "memory": memory_chart,
    "loss": loss_chart,
    "queries": queries_chart,
    "predicted": predicted_chart,
}
"""Charts by the name of their kind; each is None where the run measured nothing that it could show."""


def chart_of(result: Result, kind: str) -> Chart | None:
    """The chart of one kind; None where the run measured nothing that it could show."""
    return CHARTS[kind](one_lined(result))
