"""Verdicts and answers of engines for machines and for pull requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from tuner.live.points import TargetResult
from tuner.live.verify import VerifyResult

SCHEMA_VERSION = 1


def to_json(result: VerifyResult) -> str:
    """Return a verdict as JSON."""
    found: dict[str, Any] = msgspec.to_builtins(result)
    found["headline"] = result.headline
    return _text({"schema_version": SCHEMA_VERSION, **found})


def target_to_json(result: TargetResult) -> str:
    """Return the answer for an engine as JSON; the sweep behind it has a report of its own."""
    found: dict[str, Any] = msgspec.to_builtins(replace(result, sweep=None))  # type: ignore[arg-type]
    del found["sweep"]
    return _text({"schema_version": SCHEMA_VERSION, **found})


def _text(found: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"
