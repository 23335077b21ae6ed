"""Pages that open offline: one file with its charts, its figures and its code, for every job."""

from tuner.report.page.answer import answer_html
from tuner.report.page.run import result_to_html

__all__ = ["answer_html", "result_to_html"]
