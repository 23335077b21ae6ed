"""Long work in a notebook: while it runs, a line below the cell says how far it is."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, TypeVar

from tuner.report.progress import RunProgress
from tuner.runtime.steps import Driver, result_of
from tuner.types import Event

T = TypeVar("T")
SECONDS_BETWEEN = 0.25
"""Seconds between two updates of the cell."""


def watched(events: Generator[Event, None, T]) -> T:
    """Return the result of long work; in a notebook its progress is shown below the cell until it ends."""
    display = _display_of_notebook()
    if display is None:
        return result_of(events)
    handle = display({"text/html": "", "text/plain": ""}, raw=True, display_id=True)
    return _drawn(events, lambda bundle: handle.update(bundle, raw=True))


def _drawn(events: Generator[Event, None, T], show: Callable[[dict[str, str]], Any]) -> T:
    """Show how far the work is, and nothing any more when it has ended."""
    known, driver, shown_s = RunProgress(), Driver(events), -SECONDS_BETWEEN
    try:
        with closing(events):
            for event in driver:
                known.see(event)
                if time.monotonic() - shown_s >= SECONDS_BETWEEN:
                    shown_s = time.monotonic()
                    show(_bundle(known))
    finally:
        show({"text/html": "", "text/plain": ""})
    return driver.result


def _bundle(known: RunProgress) -> dict[str, str]:
    """Return the stage that runs as what a notebook shows."""
    place = ": ".join(part for part in (known.position(), known.title) if part)
    text = " · ".join(part for part in (place, known.words()) if part)
    bar = f'<progress value="{known.share:.3f}" aria-label="share of this stage"></progress> '
    return {"text/html": f"{bar if known.title else ''}{html.escape(text)}", "text/plain": text}


def _display_of_notebook() -> Callable[..., Any] | None:
    """Return IPython's function that shows things below a cell; None outside of a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is None:
        return None
    found: Callable[..., Any] = sys.modules["IPython"].display.display
    return found
