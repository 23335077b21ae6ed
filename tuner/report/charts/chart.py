"""A chart as data: a Vega-Lite specification, and the same figures as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Spec: TypeAlias = dict[str, Any]
Row: TypeAlias = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, FAINT, RULE = "#3c4149", "#8a8f98", "#dfe2e6"
ACCENT = "#d55e00"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a6d00", "#6a6f78")
"""Okabe and Ito's colours, which stay apart for all kinds of colour vision; yellow, which white paper
swallows, and black, which a dark screen does, are a brown and a grey."""
WIDTH, HEIGHT = 640, 320
"""Pixels of a picture; a page gives the width that it has."""


@dataclass(frozen=True)
class Chart:
    """A chart, ready to draw.

    Attributes:
        name: name of its kind.
        title: title in plain words.
        caption: what to see in it, in a sentence or two.
        spec: Vega-Lite specification; its figures are in ``datasets``.
        head: heads of the table of the same figures.
        rows: cells of that table.
    """

    name: str
    title: str
    caption: str
    spec: Spec
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def datasets(self) -> Mapping[str, list[Row]]:
        """Figures of the specification by name."""
        found: Mapping[str, list[Row]] = self.spec["datasets"]
        return found


def chart(
    name: str,
    title: str,
    caption: str,
    *,
    datasets: Mapping[str, Iterable[Row]],
    layers: list[Spec],
    head: Iterable[str],
    rows: Iterable[Iterable[str]],
    height: int = HEIGHT,
    **more: Any,
) -> Chart:
    """A chart of layers over named datasets.

    Args:
        name: name of its kind.
        title: title in plain words.
        caption: what to see in it.
        datasets: figures by name, each row a mapping; those without a row are left out, with their layers.
        layers: Vega-Lite layers; each names its dataset.
        head: heads of the table.
        rows: cells of the table.
        height: height in pixels.
        **more: further properties of the specification.
    """
    filled = {key: some for key, values in datasets.items() if (some := list(values))}
    spec = {
        "$schema": SCHEMA,
        "description": f"{title}. {caption}",
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "datasets": filled,
        "layer": [each for each in layers if each["data"]["name"] in filled],
        "config": CONFIG,
        **more,
    }
    return Chart(name, title, caption, spec, tuple(head), tuple(tuple(row) for row in rows))


def layer(dataset: str, mark: Spec | str, **encoding: Any) -> Spec:
    """A layer of one mark over one dataset."""
    return {"data": {"name": dataset}, "mark": mark, "encoding": encoding}


def quantity(field: str, title: str | None, **more: Any) -> Spec:
    """An encoding of a figure; keywords that end in ``_`` are properties of its scale, others its own."""
    scale = {key[:-1]: value for key, value in more.items() if key.endswith("_")}
    rest = {key: value for key, value in more.items() if not key.endswith("_")}
    if scale.get("type") != "log":
        scale = {"zero": False, **scale}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, **rest}


def category(field: str, title: str | None, values: Iterable[str], **more: Any) -> Spec:
    """An encoding of a name by colour, in a fixed order."""
    domain = list(dict.fromkeys(values))
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(domain))]
    return {
        "field": field,
        "type": "nominal",
        "title": title,
        "scale": {"domain": domain, "range": colours},
        **more,
    }


def tooltips(*pairs: tuple[str, str]) -> list[Spec]:
    """What is shown over a mark: fields of texts with their titles."""
    return [{"field": field, "type": "nominal", "title": title} for field, title in pairs]


CONFIG: Spec = {
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelOverlap": "greedy",
        "labelSeparation": 8,
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
        "domainColor": RULE,
        "tickColor": RULE,
        "gridColor": RULE,
        "labelLimit": 220,
    },
    "legend": {
        "orient": "top",
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "symbolType": "circle",
        "columns": {"expr": "width < 400 ? 2 : 5"},
    },
    "text": {"color": INK, "fontSize": 12},
    "rule": {"color": FAINT},
}


def target_rows(recall: float) -> list[Row]:
    """The dataset ``target`` of ``target_layers``."""
    return [{"recall": recall, "text": f"target {recall:g}"}]


def target_layers() -> list[Spec]:
    """A dashed line at the target recall and its name, of the dataset ``target``."""
    y, faint = quantity("recall", None), {"color": FAINT, "aria": False}
    name = {"type": "text", "align": "right", "baseline": "bottom", "dy": -3, **faint}
    return [
        layer("target", {"type": "rule", "strokeDash": [4, 3], **faint}, y=y),
        layer("target", name, x={"value": "width"}, y=y, text={"field": "text", "type": "nominal"}),
    ]
