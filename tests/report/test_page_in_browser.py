"""Pages in a real browser: nothing on the console, nothing fetched, every mark drawn, the library's answer.

Needs `pip install '.[browser]'` and a chromium on the path; without them these tests are skipped, and say so.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_job_pages import pages
from test_page import PLANTED, hostile
from test_report import EXACT, NOT_REACHED

from tuner.report.charts import CHARTS, chart_of
from tuner.report.page.run import result_to_html
from tuner.report.within import best_within
from tuner.types import PREFERENCES

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRAWN = {"front": ("points", "reference"), "recall": ("settings",), "memory": ("parts",), "loss": ("parts",),
         "queries": ("queries",), "predicted": ("points",)}  # fmt: skip
NOTHING = "Nothing that was measured meets these limits."
SET = """([recall, budget, prefer]) => {
  for (const [id, value] of [["recall", recall], ["budget", budget]]) {
    const slider = document.getElementById(id);
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
  }
  document.querySelector(`input[value="${prefer}"]`).click();
}"""


def dismissed(wrong: list[str], dialog: Any) -> None:
    wrong.append(f"dialog: {dialog.message}")
    dialog.dismiss()


@dataclass
class Browser:
    """A browser that opens pages, and what they did that no page should."""

    chromium: Any
    folder: Path

    def open(self, html: str, width: int = 1280, scheme: str = "light") -> tuple[Any, list[str]]:
        file = self.folder / "page.html"
        file.write_text(html, encoding="utf-8")
        page = self.chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", partial(dismissed, wrong))
        page.on("request", lambda request: wrong.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]", timeout=60_000)
        wrong[:] = [each for each in wrong if each != file.as_uri() and not each.startswith("data:")]
        return page, wrong


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium is on the path: pages were not opened in a browser")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pages were not opened in a browser"
    )
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield Browser(chromium, tmp_path_factory.mktemp("pages"))
        chromium.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (380, "dark")])
@pytest.mark.parametrize("result", [PLANTED, NOT_REACHED, EXACT], ids=["reached", "not_reached", "exact"])
def test_a_page_draws_every_point_and_fetches_nothing(
    browser: Browser, result: Any, width: int, scheme: str
) -> None:
    page, wrong = browser.open(result_to_html(result), width, scheme)
    assert wrong == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for kind in CHARTS:
        chart = chart_of(result, kind)
        places = page.locator(f'[data-chart="{kind}"]')
        assert places.count() == (chart is not None)
        if chart is None:
            continue
        wanted = sum(len(chart.datasets.get(name, [])) for name in DRAWN[kind])
        drawn = page.evaluate(f"tuneReport.marks({kind!r})")
        assert drawn == wanted, kind
    page.close()


def test_sliders_give_the_library_s_answer_by_keyboard_and_by_hand(browser: Browser) -> None:
    page, wrong = browser.open(result_to_html(PLANTED))
    seen = set()
    for step in range(20):
        recall = round(0.925 + 0.06 * ((7 * step) % 20) / 19, 3)
        page.evaluate(SET, [recall, 7e6 + 2e7 * ((3 * step) % 20) / 19, PREFERENCES[step % 3]])
        recall, budget = float(page.input_value("#recall")), float(page.input_value("#budget"))
        found = best_within(PLANTED, recall, budget, PREFERENCES[step % 3])
        expected = NOTHING if found is None else f"{found.label}, ef_search={found.ef_search}"
        assert page.inner_text("#answer b") == expected
        seen.add(expected)
    assert len(seen) > 3
    page.focus("#recall")
    before = float(page.input_value("#recall"))
    page.keyboard.press("ArrowLeft")
    assert float(page.input_value("#recall")) < before
    assert wrong == []
    page.close()


def test_a_click_on_a_point_opens_its_configuration(browser: Browser) -> None:
    page, _ = browser.open(result_to_html(PLANTED))
    assert page.get_attribute("#point-0", "open") is None
    page.locator('[data-chart="front"] svg .mark-symbol path[aria-label*="HNSW6,SQ6"]').first.click()
    page.wait_for_selector("#point-0[open]")
    assert "faiss.IndexHNSWSQ" in page.inner_text("#point-0")
    page.close()


def test_hostile_text_runs_nowhere(browser: Browser) -> None:
    for html in (result_to_html(hostile()), *pages(text="</script><img src=x onerror=alert(1)>").values()):
        page, wrong = browser.open(html)
        assert wrong == []
        assert page.locator("img").count() == 0
        page.close()


def test_a_script_that_slipped_in_would_not_run(browser: Browser) -> None:
    planted = result_to_html(PLANTED).replace(
        "</main>", "<script>alert(1)</script><img src=x onerror=alert(2)></main>"
    )
    page, wrong = browser.open(planted)
    assert not [each for each in wrong if each.startswith(("dialog", "http"))]
    assert [each for each in wrong if "Content Security Policy" in each]
    page.close()
