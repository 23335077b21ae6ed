"""Pages that open offline: one file with its charts, its figures and its code, for every job."""

from tuner.report.page.run import result_to_html

__all__ = ["result_to_html"]
