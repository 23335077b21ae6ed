"""Pages in a real browser: what they say on the console, fetch, draw and hide from a keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tuner.report.charts import CHARTS, chart_of
from tuner.report.within import best_within
from tuner.types import PREFERENCES, Result

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
DRAWN = {
    "front": ("points", "reference"),
    "recall": ("settings",),
    "memory": ("parts",),
    "loss": ("parts",),
    "queries": ("queries",),
    "predicted": ("points",),
}
"""Data sets of each chart whose rows are marks."""
SET = """([recall, budget, prefer]) => {
  for (const [id, value] of [["recall", recall], ["budget", budget]]) {
    const slider = document.getElementById(id);
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
  }
  document.querySelector(`input[value="${prefer}"]`).click();
}"""
NOTHING = "Nothing that was measured meets these limits."
REACHABLE = "a[href], button, input, select, summary, [tabindex='0']"
FOCUSED = """document.activeElement === document.body ? -1
  : [...document.querySelectorAll("*")].indexOf(document.activeElement)"""


@dataclass
class Browser:
    """A browser that opens pages, and what they did that no page should.

    Args:
        chromium: the browser, of playwright.
        folder: where pages are written.
    """

    chromium: Any
    folder: Path

    def open(self, html: str, width: int = 1280, scheme: str = "light") -> tuple[Any, list[str]]:
        """Return a page that has drawn its charts, and what it wrote on the console, asked and fetched."""
        file = self.folder / "page.html"
        file.write_text(html, encoding="utf-8")
        page = self.chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", partial(_dismissed, wrong))
        page.on("request", lambda request: wrong.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]", timeout=60_000)
        wrong[:] = [each for each in wrong if each != file.as_uri() and not each.startswith("data:")]
        return page, wrong


def _dismissed(wrong: list[str], dialog: Any) -> None:
    wrong.append(f"dialog: {dialog.message}")
    dialog.dismiss()


@contextmanager
def started(playwright: Any, folder: Path) -> Iterator[Browser]:
    """Yield a browser; ``playwright`` is ``playwright.sync_api``."""
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield Browser(chromium, folder)
        chromium.close()


def marks(page: Any, result: Result) -> dict[str, tuple[int, int]]:
    """Return how many marks each chart of a run's page has, and how many its report asks for.

    A chart that nothing was measured for has none, and must not be there.
    """
    found = {}
    for kind in CHARTS:
        chart = chart_of(result, kind)
        places = page.locator(f'[data-chart="{kind}"]').count()
        wanted = 0 if chart is None else sum(len(chart.datasets.get(name, [])) for name in DRAWN[kind])
        found[kind] = (page.evaluate(f"tuneReport.marks({kind!r})") if places else 0, wanted)
    return found


def empty_charts(page: Any) -> list[str]:
    """Return the charts of a page that have no mark."""
    names = page.evaluate("Object.keys(tuneReport.views)")
    return [name for name in names if not page.evaluate(f"tuneReport.marks({name!r})")]


def slider_settings(page: Any, result: Result, n: int = 20) -> Iterator[tuple[str, str]]:
    """Yield what the page answers at ``n`` settings of its sliders, and what the library answers there."""
    ends = {
        slider: [float(page.get_attribute(f"#{slider}", end)) for end in ("min", "max")]
        for slider in ("recall", "budget")
    }
    for step in range(n):
        asked = [low + (high - low) * ((prime * step) % n) / (n - 1)
                 for (low, high), prime in zip(ends.values(), (7, 3), strict=True)]  # fmt: skip
        prefer = PREFERENCES[step % len(PREFERENCES)]
        page.evaluate(SET, [*asked, prefer])
        recall, budget = (float(page.input_value(f"#{slider}")) for slider in ends)
        found = best_within(result, recall, budget, prefer)
        yield (
            page.inner_text("#answer b"),
            NOTHING if found is None else f"{found.label}, ef_search={found.ef_search}",
        )


def out_of_reach(page: Any) -> int:
    """Return how many visible things that can be used the tabulator key does not come to."""
    page.evaluate("document.activeElement.blur()")
    wanted = page.evaluate(
        f"""[...document.querySelectorAll({REACHABLE!r})].filter((each) => each.checkVisibility()
        && !each.disabled && each.tabIndex >= 0 && !(each.type === "radio" && !each.checked)).length"""
    )
    seen: set[int] = set()
    for _ in range(3 * wanted + 3):
        page.keyboard.press("Tab")
        at = int(page.evaluate(FOCUSED))
        if at in seen:
            break
        if at >= 0:
            seen.add(at)
    return max(0, int(wanted) - len(seen))


def violations(page: Any, axe: Any) -> list[str]:
    """Return serious and critical findings of ``axe``, which is ``axe_playwright_python.sync_playwright``."""
    found = axe.Axe().run(page).response["violations"]
    return [each["id"] for each in found if each["impact"] in ("serious", "critical")]
