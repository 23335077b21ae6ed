"""A diagnosis as one sentence, JSON, and a page of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from tuner.report.json_report import versioned_json
from tuner.report.tables import prose, table
from tuner.report.words import bytes_text, query_time_text, recall_text
from tuner.text import one_line, one_lined
from tuner.types import Cause, Diagnosis, Lasts, Prescription, Recall, Sensitivity
from tuner.types.diagnosis import DIAGNOSIS_SCHEMA_VERSION, MOST_TIMES


def headline(found: Diagnosis) -> str:
    """Return the answer as one sentence."""
    sentence = loss_sentence(found.label, found.first, found.recall, found.target)
    if found.first is None or found.adds_up:
        return one_line(sentence)
    return one_line(f"in doubt, {doubt(found)}, so another cause may be the first: {sentence}")


def doubt(found: Diagnosis) -> str:
    """Return in words by how much causes miss the loss that they should add up to."""
    by = f"{abs(found.residual):.4f} too {'much' if found.residual < 0 else 'little'}"
    return f"the causes do not add up ({by} for a loss of {1 - found.recall.mean:.4f})"


def loss_sentence(label: str, first: Cause | None, recall: Recall, target: float) -> str:
    """Return what an index loses recall to first, if to anything, and what it reaches."""
    measured = f"{label}, recall {recall_text(recall)}, target {target:g}"
    if first is None:
        return f"healthy: {measured}"
    return f"{first.name}: {first.text} ({first.share:.4f} of recall); {measured}"


def to_json(found: Diagnosis) -> bytes:
    """Return everything that was found as JSON, ending in a newline."""
    return versioned_json(DIAGNOSIS_SCHEMA_VERSION, msgspec.to_builtins(found))


def cause_rows(found: Diagnosis) -> Iterator[tuple[str, str, str]]:
    """Yield name, share and text of what recall is lost to; they add up to 1 - recall."""
    yield from share_rows(found.causes)
    left_over = "what these leave over" if found.adds_up else f"{doubt(found)}: none is sure"
    yield "residual", f"{found.residual:.4f}", left_over
    yield "sum", f"{1 - found.recall.mean:.4f}", "1 - recall"
    if found.drift is not None:
        yield "of it, query drift", f"{found.drift.share:.4f}", found.drift.text
    if found.filter is not None:
        yield "beside it, filter", f"{found.filter.share:.4f}", found.filter.text


def share_rows(causes: Iterable[Cause]) -> Iterator[tuple[str, str, str]]:
    """Yield the cells of causes under ``CAUSE_HEAD``."""
    return ((cause.name, f"{cause.share:.4f}", cause.text) for cause in causes)


def prescription_row(number: int, each: Prescription) -> tuple[str, ...]:
    """Return the cells of one prescription."""
    searched = f"{each.search_param}={each.value}" if each.search_param else ""
    return (
        str(number),
        each.kind,
        each.title,
        f"{each.label} {searched}".strip(),
        f"{each.recall.mean:.4f} ({each.recall.lower:.4f})",
        bytes_text(each.index_bytes),
        "" if each.latency_ratio is None else f"{each.latency_ratio:.2f} x now's",
    )


def screen_rows(found: Diagnosis) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each prescription in rows under ``SCREEN_HEAD``: what is done, what it makes."""
    for number, each in enumerate(found.prescriptions, start=1):
        first, _, title, index, *figures = prescription_row(number, each)
        begins, *others = lines_of(title, SCREEN_WORDS) + lines_of(index, SCREEN_WORDS)
        yield first, begins, *figures
        yield from (("", line, "", "", "") for line in others)


def lines_of(text: str, width: int) -> list[str]:
    """Return words, or the name of an index, in lines that are no wider, broken behind commas and spaces.

    Example:
        >>> lines_of("PCA288,HNSW16,SQ8 ef_search=2,000", 14)
        ['PCA288,HNSW16,', 'SQ8', 'ef_search=2,000']
    """
    lines = [""]
    for piece in re.split(r"(?<= )|(?<=,)(?=[^\d ])", text):  # not within numbers
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append(piece)
        else:
            lines[-1] += piece
    return [line.rstrip() for line in lines]


def cost_rows(found: Diagnosis) -> Iterator[tuple[str, str, str]]:
    """Yield what bytes and time go to, now and with the first prescription."""
    now, needed = found.costs, found.needed
    for name in {**now.bytes, **(needed.bytes if needed else {})}:
        then = bytes_text(needed.bytes.get(name, 0)) if needed and name != "allocator" else ""
        yield f"bytes: {name}", bytes_text(now.bytes.get(name, 0)), then
    for name, seconds in now.time.parts.items():
        yield (
            f"time: {name}",
            _time_text(seconds, now.time.total_s),
            "" if needed is None else _time_text(needed.time.parts[name], needed.time.total_s),
        )


def _time_text(seconds: float, whole: float) -> str:
    return f"{query_time_text(seconds)}, {seconds / whole:.0%}"


CAUSE_HEAD = ("lost to", "recall", "seen")
COST_HEAD = ("what it costs", "now", "with prescription 1")
PRESCRIPTION_HEAD = ("", "what it costs you", "what is done", "index", "recall", "bytes", "time")
PRESCRIPTION_WORDS = PRESCRIPTION_HEAD[1:4]
SCREEN_HEAD = ("", "what is done: the index", "recall (lower)", "bytes", "time")
SCREEN_WORDS = 36
"""Columns that the words of a prescription get on a screen of 80."""


def to_markdown(found: Diagnosis, command: str = "") -> str:
    """Return the page.

    Args:
        command: line of a shell that applies the first prescription.
    """
    found = one_lined(found)
    searched = f"{found.search_param} {found.value}, " if found.search_param else ""
    lines = [
        f"# {prose(found.source)}",
        "",
        prose(headline(found)),
        "",
        f"Measured with {found.n_queries:,} queries ({prose(found.queries)}), {searched}"
        f"{found.costs.time.ndis_per_query:,.0f} distances and "
        f"{found.costs.time.hops_per_query:,.0f} nodes a query.",
        "",
        *table(CAUSE_HEAD, cause_rows(found)),
        "",
        *table(COST_HEAD, cost_rows(found)),
        "",
    ]
    if found.prescriptions:
        rows = (prescription_row(number, each) for number, each in enumerate(found.prescriptions, start=1))
        lines += [*table(PRESCRIPTION_HEAD, rows, PRESCRIPTION_WORDS), ""]
    if command:
        lines += [apply_text(found), "", "```bash", command, "```", ""]
    lines += [describe_sensitivity(found.sensitivity, found.target), ""]
    lines += [f"- {prose(note)}" for note in found.notes]
    return "\n".join(lines).rstrip() + "\n"


def apply_text(found: Diagnosis) -> str:
    """Return in words what the command below it does."""
    last = len(found.prescriptions)
    others = f" (--apply 2{f' to {last}' if last > 2 else ''} applies another)" if last > 1 else ""
    return f"To write the index of prescription 1, read it again and measure that{others}:"


def describe_sensitivity(found: Sensitivity, target: float) -> str:
    """Return in words how close the call is."""
    holds = [each.k for each in found.by_k if each.recall.lower >= target]
    fails = [each for each in found.by_k if each.recall.lower < target]
    text = f"{found.subject} holds up to a target of {found.target:.4f}"
    text += f" and for k of {', '.join(map(str, holds))}" if holds else ""
    if fails:
        text += f", not for {', '.join(f'{each.k} (at least {each.recall.lower:.4f})' for each in fails)}"
    if not found.grown:
        return text
    more = [
        f"{each.recall:.3f} ({each.low:.3f} to {each.high:.3f}) at {each.n / found.n:g} x the vectors"
        for each in found.grown
    ]
    text += f"; extrapolated from parts of the file, recall as it is would be {' and '.join(more)}"
    if found.lasts is not None:
        text += f", and miss the target from {_describe_lasts(found.lasts, found.n)} on"
    return text


def _describe_lasts(lasts: Lasts, n: int) -> str:
    most = f"more than {MOST_TIMES * n:,}"
    middle, low, high = (most if end is None else f"{end:,}" for end in (lasts.n, lasts.low, lasts.high))
    return f"{middle} vectors ({low} to {high})"
