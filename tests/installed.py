"""Engines that are not installed are said so, and counted, not hidden."""

import pytest

from tuner.engines import find_engine, missing_modules


def needs(name: str) -> None:
    """Skip the test if the engine's packages are missing, and say what would bring them."""
    engine = find_engine(name)
    missing = missing_modules(engine)
    if missing:
        pytest.skip(
            f"{name}: {', '.join(missing)} missing; pip install {' '.join(engine.capabilities.packages)}"
        )
