"""A result to look at: charts, a table of its points, what a notebook shows."""

from __future__ import annotations

import base64
from importlib import import_module
from pathlib import Path
from typing import Any

from tuner.errors import InputError
from tuner.report.charts import CHARTS, Chart, chart_of, picture
from tuner.report.page.answer import answer_html
from tuner.report.points import point_rows
from tuner.runtime.journal import write_atomically
from tuner.types import Result


def drawn(result: Result, kind: str) -> Chart:
    """Return a chart of a result.

    Raises:
        InputError: there is no such chart, or nothing was measured that it could show.
    """
    if kind not in CHARTS:
        raise InputError(f"there is no chart {kind!r}: name one of {', '.join(CHARTS)}")
    chart = chart_of(result, kind)
    if chart is None:
        raise InputError(f"nothing was measured that a chart of {kind} shows: the answer is {result.status}")
    return chart


def plot(result: Result, path: Path, kind: str) -> Path:
    """Write a chart to a file that is named by its ending, and return the file.

    Raises:
        InputError: it cannot be drawn or written.
    """
    data = picture(drawn(result, kind), path.suffix.lower())
    try:
        write_atomically(path, data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}): name another file") from None
    return path


def to_dataframe(result: Result) -> Any:
    """Return the measured points as a pandas DataFrame.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        pandas = import_module("pandas")
    except ImportError:
        raise InputError("to_dataframe needs pandas, which is not installed: pip install pandas") from None
    return pandas.DataFrame(point_rows(result))


def notebook_html(result: Result) -> str:
    """Return the answer and its table as HTML, with the front as a picture where that can be drawn."""
    chart = chart_of(result, "front")
    try:
        svg = b"" if chart is None else picture(chart, ".svg")
    except InputError:  # what draws it is not installed
        svg = b""
    address = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}" if svg else ""
    return answer_html(result, chart, address)
