"""Do the pages of real jobs open, draw and answer as they should? (pip install '.[browser]', and a chromium).

python -m benchmarks.pages FOLDER/report.html diagnosis.html check.html --out FOLDER
"""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path

import click
import msgspec

from benchmarks.common import FILE, origin, write_json, write_lines
from benchmarks.pages.browser import (
    CHROMIUM,
    Browser,
    empty_charts,
    marks,
    out_of_reach,
    slider_settings,
    started,
    violations,
)
from tuner.api.result import REPORT_NAME, read_report
from tuner.report.tables import table
from tuner.types import Result

VIEWS = ((1280, "light"), (1280, "dark"), (380, "light"), (380, "dark"))
HEAD = (
    *("page", "bytes", "view", "wider than the view", "console, requests"),
    *("charts", "marks", "sliders", "not by keyboard", "axe, serious"),
)


class Looks(msgspec.Struct, frozen=True, kw_only=True):
    """All pages in all views."""

    rows: list[Row]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One page in one view.

    Attributes:
        page: its file.
        n_bytes: its size.
        view: width in pixels, and the scheme of colours.
        overflow: pixels that it is wider than its view.
        wrong: lines on the console, dialogs and requests.
        charts: its charts, and those of them without a mark.
        marks: marks drawn and wanted, of all its charts; of reports of runs alone.
        sliders: settings at which the page and the library agree, and settings tried; none without sliders.
        unreachable: things to use that the keyboard does not come to.
        violations: serious and critical findings of axe-core.
    """

    page: str
    n_bytes: int
    view: str
    overflow: int
    wrong: list[str]
    charts: tuple[int, list[str]]
    marks: tuple[int, int]
    sliders: tuple[int, int] | None
    unreachable: int
    violations: list[str]

    def fine(self) -> bool:
        """Whether nothing is wrong with it."""
        agreed = self.sliders is None or self.sliders[0] == self.sliders[1]
        faults = (self.overflow, self.wrong, self.charts[1], self.unreachable, self.violations)
        return not any(faults) and self.marks[0] == self.marks[1] and agreed


def look(browser: Browser, file: Path, width: int, scheme: str, picture: Path) -> Row:
    """Open a page, use it, and write a picture of it."""
    html = file.read_text(encoding="utf-8")
    page, wrong = browser.open(html, width, scheme)
    page.screenshot(path=str(picture), full_page=True)
    result: Result | None = None
    if (file.parent / REPORT_NAME).exists() and file.name == "report.html":
        result = read_report(file.parent)
    drawn = {} if result is None else marks(page, result)
    answers = (
        [] if result is None or not page.locator("#recall").count() else list(slider_settings(page, result))
    )
    row = Row(
        page=f"{file.parent.name}/{file.name}",
        n_bytes=len(html.encode()),
        view=f"{width} {scheme}",
        overflow=max(0, page.evaluate("document.documentElement.scrollWidth") - width),
        wrong=wrong,
        charts=(page.evaluate("Object.keys(tuneReport.views).length"), empty_charts(page)),
        marks=(sum(found for found, _ in drawn.values()), sum(wanted for _, wanted in drawn.values())),
        sliders=(sum(ours == theirs for ours, theirs in answers), len(answers)) if answers else None,
        unreachable=out_of_reach(page),
        violations=violations(page, import_module("axe_playwright_python.sync_playwright")),
    )
    page.close()
    return row


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table in Markdown."""
    return (
        row.page,
        f"{row.n_bytes:,}",
        row.view,
        f"{row.overflow} px",
        "; ".join(row.wrong) or "none",
        f"{row.charts[0]}, empty {len(row.charts[1])}",
        f"{row.marks[0]} of {row.marks[1]}" if row.marks[1] else "-",
        "-" if row.sliders is None else f"{row.sliders[0]} of {row.sliders[1]}",
        str(row.unreachable),
        ", ".join(row.violations) or "none",
    )


@click.command()
@click.argument("pages", nargs=-1, required=True, type=FILE)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of table and pictures.")
def main(pages: tuple[Path, ...], out: Path) -> None:
    """Open PAGES in four views; exit code 1 if anything is wrong with one."""
    if CHROMIUM is None:
        raise click.ClickException("no chromium is on the path")
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    with (
        tempfile.TemporaryDirectory() as room,
        started(import_module("playwright.sync_api"), Path(room)) as browser,
    ):
        for file in pages:
            for width, scheme in VIEWS:
                picture = out / f"{file.parent.name}-{file.stem}-{width}-{scheme}.png"
                rows.append(look(browser, file.resolve(), width, scheme, picture))
                click.echo(" | ".join(cells(rows[-1])), err=True)
    write_json(Looks(rows=rows), out / "pages.json")
    write_lines([*table(HEAD, map(cells, rows)), "", origin()], out / "pages.md")
    raise SystemExit(0 if all(row.fine() for row in rows) else 1)


if __name__ == "__main__":
    main()
