"""A page from its template: text is escaped, and only the scripts of this package may run in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from tuner.report.charts.chart import Chart

if TYPE_CHECKING:
    import jinja2
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token

LIBRARY, SCRIPT, STYLE = "vega.js", "page.js", "page.css"
"""Vega, Vega-Lite and Vega-Embed as vl-convert bundles them; our own script and style."""
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src {scripts}"
)
"""Nothing is loaded from anywhere, and scripts run by their digests alone: what slips in does not."""


def render(template: str, charts: list[Chart], **values: Any) -> str:
    """The page as HTML.

    Args:
        template: name of the template.
        charts: charts of the page, which it shows where it names them.
        **values: what the template shows besides; text in it is escaped.
    """
    by_name = {chart.name: chart for chart in charts}
    scripts = [Markup(_text(name)) for name in (LIBRARY, SCRIPT)]  # noqa: S704 - files of this package
    digests = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    page = environment().get_template(template)
    return page.render(
        charts=by_name,
        specs={name: chart.spec for name, chart in by_name.items()},
        policy=POLICY.format(scripts=digests),
        scripts=scripts,
        style=Markup(_text(STYLE)),  # noqa: S704 - likewise
        **values,
    )


def html_of(markdown: str) -> Markup:
    """Markdown of a report as HTML, in which there are no links, pictures or tags but our own."""
    html = _markdown().render(markdown).replace("<th></th>", "<td></td>")  # a head that says nothing is none
    return Markup(html)  # noqa: S704 - the renderer escapes all text


@cache
def environment() -> jinja2.Environment:
    """The templates of the pages; whatever they show is escaped."""
    import jinja2  # noqa: PLC0415 - no command waits for it that writes no page

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tuner.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["markdown"] = html_of
    return environment


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - likewise

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.disable(["link", "image", "autolink", "html_inline", "html_block", "reference"])
    parser.add_render_rule("table_open", _open_table)
    parser.add_render_rule("table_close", _close_table)
    parser.add_render_rule("fence", _fence)
    return parser


def _open_table(*_: Any) -> str:
    return '<div class="scroll" tabindex="0" role="group" aria-label="table"><table>\n'


def _close_table(*_: Any) -> str:
    return "</table></div>\n"


def _fence(renderer: RendererHTML, tokens: Sequence[Token], position: int, *_: Any) -> str:
    return f'<pre tabindex="0"><code>{escape(tokens[position].content)}</code></pre>\n'


@cache
def _text(name: str) -> str:
    return files("tuner.report.page").joinpath(name).read_text(encoding="utf-8").strip()


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
