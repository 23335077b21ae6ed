"""What a notebook shows of a run: the answer, its table, a picture."""

from __future__ import annotations

from tuner.report.charts import Chart
from tuner.report.markdown import sections
from tuner.report.page.render import environment
from tuner.report.words import gain_sentence, verdict
from tuner.text import one_lined
from tuner.types import Result


def answer_html(result: Result, chart: Chart | None, picture: str) -> str:
    """The answer and the table of the front as a piece of HTML.

    Args:
        result: what the run found.
        chart: chart that the picture shows, if there is one.
        picture: address of the picture; empty for none.
    """
    result = one_lined(result)
    return (
        environment()
        .get_template("answer.html.j2")
        .render(
            verdict=verdict(result),
            remark=gain_sentence(result),
            picture=picture,
            alt="" if chart is None else f"{chart.title}. {chart.caption}",
            front=sections(result).get("The front", ""),
        )
    )
