"""Reports of earlier runs, read back."""

from __future__ import annotations

from pathlib import Path

from tuner.errors import InputError
from tuner.report import result_from_json
from tuner.types import Result


def read_report(path: Path) -> Result:
    """Return a run's report.

    Raises:
        InputError: it cannot be read, or is none.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): name a run's report.json") from None
    return result_from_json(data)
