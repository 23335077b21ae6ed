"""Why an index is slow, heavy or wrong, and the smallest change that mends it."""

from tuner.diagnosis.run import DiagnoseOptions, diagnose
from tuner.report.diagnosis import headline, to_json, to_markdown
from tuner.types import Diagnosis

__all__ = ["DiagnoseOptions", "Diagnosis", "diagnose", "headline", "to_json", "to_markdown"]
