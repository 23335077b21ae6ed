"""Pages in a real browser: nothing on the console, nothing fetched, every mark drawn, the library's answer.

Needs `pip install '.[browser]'` and a chromium on the path; without them these tests are skipped, and say so.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from test_job_pages import pages
from test_page import PLANTED, hostile
from test_report import EXACT, NOT_REACHED

from benchmarks.pages.browser import (
    CHROMIUM,
    Browser,
    marks,
    out_of_reach,
    slider_settings,
    started,
    violations,
)
from tuner.report.page.run import result_to_html


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium is on the path: pages were not opened in a browser")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pages were not opened in a browser"
    )
    with started(playwright, tmp_path_factory.mktemp("pages")) as found:
        yield found


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (380, "dark")])
@pytest.mark.parametrize("result", [PLANTED, NOT_REACHED, EXACT], ids=["reached", "not_reached", "exact"])
def test_a_page_draws_every_point_and_fetches_nothing(
    browser: Browser, result: Any, width: int, scheme: str
) -> None:
    page, wrong = browser.open(result_to_html(result), width, scheme)
    assert wrong == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = marks(page, result)
    assert {kind: drawn for kind, (drawn, _) in found.items()} == {kind: n for kind, (_, n) in found.items()}
    page.close()


def test_sliders_give_the_library_s_answer_by_keyboard_and_by_hand(browser: Browser) -> None:
    page, wrong = browser.open(result_to_html(PLANTED))
    answers = list(slider_settings(page, PLANTED))
    assert len(answers) == 20
    assert [ours for ours, _ in answers] == [theirs for _, theirs in answers]
    assert len(set(answers)) > 3
    page.focus("#recall")
    before = float(page.input_value("#recall"))
    page.keyboard.press("ArrowLeft")
    assert float(page.input_value("#recall")) < before
    assert wrong == []
    page.close()


def test_everything_is_reached_by_keyboard_and_nothing_is_hidden_from_a_reader(browser: Browser) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed: pages were not checked by it"
    )
    for name, html in {"run": result_to_html(PLANTED), **pages()}.items():
        page, _ = browser.open(html)
        assert out_of_reach(page) == 0, name
        assert violations(page, axe) == [], name
        page.close()


def test_what_no_keyboard_reaches_and_no_reader_reads_is_found(browser: Browser) -> None:
    axe = import_module("axe_playwright_python.sync_playwright")
    page, _ = browser.open(result_to_html(PLANTED))
    page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<button></button>');"
        "document.addEventListener('keydown', (event) => { if (event.target.matches('#recall, summary')) "
        "event.preventDefault(); })"
    )
    assert out_of_reach(page) > 0
    assert "button-name" in violations(page, axe)
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
