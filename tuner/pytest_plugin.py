"""The pytest plugin: a fixture that fails a test when recall regressed. Nothing heavy is imported before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def recall_gate() -> Callable[..., Any]:
    """Return ``tuner.testing.gate``: ``recall_gate("reports/baseline.yaml", "embeddings.npy")``."""
    from tuner.testing import gate  # noqa: PLC0415 - only tests that ask for it pay for faiss

    return gate
