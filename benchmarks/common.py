"""What the benchmarks share."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""Folder of the project."""
