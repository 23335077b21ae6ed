"""The words that every other type is made of: metrics, preferences, arrays, long work."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Metric: TypeAlias = Literal["cosine", "ip", "l2"]
Preference: TypeAlias = Literal["balanced", "fastest", "smallest"]
StoreAt: TypeAlias = Literal["memory", "disk"]
Duplicates: TypeAlias = Literal["keep", "collapse"]
FloatArray: TypeAlias = NDArray[np.float32]
IdArray: TypeAlias = NDArray[np.int64]

T = TypeVar("T")
Steps: TypeAlias = Generator[float, None, T]
"""Long work: yields the share done in [0, 1] and returns its result."""

PREFERENCES: tuple[Preference, ...] = ("balanced", "fastest", "smallest")
