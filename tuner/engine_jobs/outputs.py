"""Verdicts and answers of engines for machines and for pull requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec

from tuner.engine_jobs.diagnose import EngineFindings
from tuner.engine_jobs.points import TargetResult
from tuner.engine_jobs.verify import VerifyResult
from tuner.engines.export import describe
from tuner.report.tables import table
from tuner.report.words import bytes_text

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


LIVE_CAUSE_HEAD = ("lost to", "recall", "seen")
LIVE_CURE_HEAD = ("", "what it costs you", "settings", "recall", "bytes", "time")


def live_headline(found: EngineFindings) -> str:
    """Return what ails an engine's index as one sentence."""
    recall = f"recall {found.recall.mean:.4f} (at least {found.recall.lower:.4f}), target {found.target:g}"
    said = f"{found.version}: {describe(found.settings)}, {recall}"
    if found.first is None:
        return f"healthy: {said}"
    return f"{found.first.name}: {found.first.text} ({found.first.share:.4f} of recall); {said}"


def live_cause_rows(found: EngineFindings) -> Iterator[tuple[str, str, str]]:
    """Yield name, share and text of what recall is lost to; they add up to 1 - recall."""
    for cause in found.causes:
        yield cause.name, f"{cause.share:.4f}", cause.text
    yield "sum", f"{1 - found.recall.mean:.4f}", "1 - recall"


def live_cure_rows(found: EngineFindings) -> Iterator[tuple[str, ...]]:
    """Yield the cells of the prescriptions."""
    for number, each in enumerate(found.prescriptions, start=1):
        yield (
            str(number),
            each.kind if each.works else f"{each.kind}, and it is not enough",
            describe(each.settings),
            f"{each.recall.mean:.4f} ({each.recall.lower:.4f})",
            bytes_text(each.index_bytes),
            f"{each.latency_ratio:.2f} x",
        )


def live_to_markdown(found: EngineFindings) -> str:
    """Return the page."""
    lines = [
        f"# {found.version}",
        "",
        live_headline(found),
        "",
        f"Measured in the engine with {found.n_queries:,} queries; {found.index_bytes:,} bytes of index.",
        "",
        *table(LIVE_CAUSE_HEAD, live_cause_rows(found)),
        "",
    ]
    if found.prescriptions:
        lines += [*table(LIVE_CURE_HEAD, live_cure_rows(found)), ""]
    lines += [f"- {note}" for note in found.notes]
    return "\n".join(lines).rstrip() + "\n"


def live_to_json(found: EngineFindings) -> str:
    """Return everything that was found in an engine."""
    named = {"schema_version": SCHEMA_VERSION, "headline": live_headline(found)}
    return _text({**named, **msgspec.to_builtins(found)})


def _text(found: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"
