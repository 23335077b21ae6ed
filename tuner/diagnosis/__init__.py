"""Why an index is slow, heavy or wrong, and the smallest change that mends it."""

from tuner.diagnosis.outputs import headline, to_json, to_markdown
from tuner.diagnosis.run import DiagnoseOptions, Diagnosis, diagnose

__all__ = ["DiagnoseOptions", "Diagnosis", "diagnose", "headline", "to_json", "to_markdown"]
