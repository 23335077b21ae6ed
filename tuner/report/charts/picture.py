"""A chart as a picture, drawn without a browser."""

from __future__ import annotations

import json
from importlib import import_module
from textwrap import wrap

from tuner.errors import InputError
from tuner.report.charts.chart import WIDTH, Chart

REQUIREMENT = "vl-convert-python>=1.8"
"""As in the extra ``plots``, which a test compares."""
SUFFIXES = (".svg", ".png", ".json")
CAPTION_LETTERS = 100
"""Letters of a line of the caption: what fits the width."""
TITLE = {"anchor": "start", "frame": "group", "fontSize": 16, "subtitleFontSize": 12, "offset": 12}
PNG_SCALE = 2.0
"""Pixels of the picture for one of the specification, so that it is sharp on paper."""


def picture(chart: Chart, suffix: str) -> bytes:
    """The chart as SVG, PNG, or as its Vega-Lite specification in JSON.

    Args:
        chart: what to draw.
        suffix: ending of the file's name, with its dot.

    Raises:
        InputError: there is no such kind of picture, or what draws it is not installed.
    """
    title = {"text": chart.title, "subtitle": wrap(chart.caption, CAPTION_LETTERS), **TITLE}
    spec = {**chart.spec, "width": WIDTH, "background": "white", "title": title}
    if suffix == ".json":
        return (json.dumps(spec, indent=1) + "\n").encode()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{suffix or 'no ending'} is no kind of picture: name a file that ends in .svg, .png or .json"
        )
    try:
        drawing = import_module("vl_convert")
    except ImportError:
        raise InputError(
            f"vl-convert draws {suffix} files but is not installed: pip install '{REQUIREMENT}', or name a "
            "file that ends in .json"
        ) from None
    if suffix == ".svg":
        svg: str = drawing.vegalite_to_svg(spec)
        return (svg + "\n").encode()
    png: bytes = drawing.vegalite_to_png(spec, scale=PNG_SCALE)
    return png
