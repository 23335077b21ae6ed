"""Results of jobs in engines: sentences, cells of tables, JSON and a Markdown page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec

from tuner.report.diagnosis import CAUSE_HEAD, loss_sentence, share_rows
from tuner.report.json_report import versioned_json
from tuner.report.tables import prose, table
from tuner.report.words import bytes_text, query_time_text, recall_text, too_few_queries_text
from tuner.text import one_lined
from tuner.types import (
    SCHEMA_VERSION,
    EngineDiagnosis,
    EnginePoint,
    TargetResult,
    VerifyResult,
)
from tuner.types.engine_target import TARGET_SCHEMA_VERSION

PRESCRIPTION_HEAD = ("", "what it costs you", "settings", "recall", "bytes", "time")
KINDS = {"distinct": "rebuild over distinct rows, answer with their copies too"}
POINT_HEAD = ("codec", "M,efC", "ef", "re-score", "recall", "lower", "predicted", "MB+table", "us")


def describe_point(point: EnginePoint) -> str:
    """Return a point in one line."""
    config = point.settings
    scored = f" re-scoring x{config.oversampling}" if config.oversampling > 1 else ""
    reached = "" if point.reaches_target else ", misses the target"
    table = "" if point.table_bytes is None else f" and {point.table_bytes:,} of the table it re-scores from"
    return (
        f"{config.codec} M={config.M} ef_construction={config.ef_construction} "
        f"ef_search={config.ef_search}{scored}: recall "
        f"{recall_text(point.recall)}, {point.index_bytes:,} bytes{table}, "
        f"{query_time_text(point.latency.mean_s)}{reached}; loaded and built"
    )


def point_row(point: EnginePoint, before: str = "") -> tuple[str, ...]:
    """Return the cells of a point under ``POINT_HEAD``; ``before`` stands before its codec."""
    config = point.settings
    return (
        before + config.codec,
        f"{config.M},{config.ef_construction}",
        str(config.ef_search),
        f"x{config.oversampling}" if config.oversampling > 1 else "-",
        f"{point.recall.mean:.4f}",
        f"{point.recall.lower:.4f}",
        "-" if point.predicted_recall is None else f"{point.predicted_recall:.4f}",
        f"{point.index_bytes / 1e6:.1f}"
        + ("" if point.table_bytes is None else f"+{point.table_bytes / 1e6:.1f}"),
        f"{1e6 * point.latency.mean_s:,.0f}",
    )


def target_sentences(title: str, result: TargetResult) -> list[str]:
    """Return the answer for the engine of that title in words."""
    if result.status == "exact":
        return [f"so few vectors that exact search is the answer: {title} needs no HNSW index for them"]
    if result.status == "exported" and result.exported is not None:
        claims = result.exported.claims
        return [
            f"{title} does not run here: {claims.label} was measured in {claims.measured_in} with native "
            f"graphs, recall {claims.recall:.4f} (at least {claims.recall_lower:.4f}); NOT verified on a "
            "running server",
            *(f"warning: {warning}" for warning in result.warnings),
        ]
    if result.chosen is None:
        return [_not_reached(title, result)]
    chosen, default, config = result.chosen, result.default_comparison, result.chosen.settings
    lines = [
        f"{title}: {config.codec} with M={config.M}, ef_construction={config.ef_construction} and "
        f"ef_search={config.ef_search} reaches recall {recall_text(chosen.recall)}, "
        f"measured in {chosen.applied.version}"
    ]
    if (first := chosen.first_build) is not None:
        lines.append(
            "that is of a second build, its rows in another order; the first one had "
            f"{recall_text(first.recall)} with ef_search={first.ef_search}"
        )
    if chosen.table_bytes is not None:
        lines.append(
            f"its index takes {bytes_text(chosen.index_bytes)}; it re-scores from the table's own vectors, "
            f"{bytes_text(chosen.table_bytes)} more, which only the candidates of a query are read from"
        )
    if default is not None and default.point.settings == chosen.settings:
        lines.append("that is its own default with ef_search tuned: nothing better was found that is as fast")
    elif default is not None and default.point.reaches_target:
        lines.append(
            f"its own default takes {default.memory_ratio:.2f} x the memory and {default.latency_ratio:.2f} "
            "x the time of that at the same target"
        )
    elif default is not None:
        lines.append(f"its own default misses the target: {recall_text(default.point.recall)}")
    return lines


def _not_reached(title: str, result: TargetResult) -> str:
    """Return that nothing was, with what would help where that is known."""
    options, queries = result.sweep.options, result.sweep.queries
    best = max((point.recall for point in result.points), key=lambda recall: recall.mean, default=None)
    if best is None:
        return "; ".join([f"not reached in {title}", *result.sweep.advice])
    head = f"not reached in {title}; the best that was seen is {recall_text(best)}"
    if result.n_queries_needed is None:
        return head
    return f"{head}: {too_few_queries_text(best, options.recall, queries.n, result.n_queries_needed)}"


def target_to_json(result: TargetResult) -> str:
    """Return the answer for an engine as JSON; the sweep behind it has a report of its own."""
    found: dict[str, Any] = msgspec.to_builtins(replace(result, sweep=None))  # type: ignore[arg-type]
    del found["sweep"]
    return versioned_json(TARGET_SCHEMA_VERSION, found).decode()


def verify_headline(result: VerifyResult) -> str:
    """Return a verdict in one line."""
    where = result.applied.version if result.applied else result.engine
    if result.verdict == "died":
        return f"not judged: {next(line.text for line in result.lines if line.name == 'engine')}"
    if result.verdict == "verified" and result.recall:
        doubts = [line.name for line in result.lines if line.status == "warn"]
        return (
            f"verified in {where}: {result.settings.label}: recall {result.recall.mean:.4f}, "
            f"at least {result.recall.lower:.4f}" + (f"; in doubt: {', '.join(doubts)}" if doubts else "")
        )
    failed = [f"{line.name} ({line.text})" for line in result.lines if line.status == "fail"]
    return f"not verified in {where}: {'; '.join(failed)}"


def verify_to_json(result: VerifyResult) -> str:
    """Return a verdict as JSON."""
    return _to_json({**msgspec.to_builtins(result), "headline": verify_headline(result)})


def diagnosis_headline(found: EngineDiagnosis) -> str:
    """Return what is wrong with an engine's index as one sentence."""
    label = f"{found.version}: {found.settings.label}"
    return loss_sentence(label, found.first, found.recall, found.target)


def cause_rows(found: EngineDiagnosis) -> Iterator[tuple[str, str, str]]:
    """Yield name, share and text of what recall is lost to; they add up to 1 - recall."""
    yield from share_rows(found.causes)
    yield "sum", f"{1 - found.recall.mean:.4f}", "1 - recall"


def prescription_rows(found: EngineDiagnosis) -> Iterator[tuple[str, ...]]:
    """Yield the cells of the prescriptions."""
    for number, each in enumerate(found.prescriptions, start=1):
        yield (
            str(number),
            KINDS.get(each.kind, each.kind) + ("" if each.works else ", and it is not enough"),
            each.settings.label,
            f"{each.recall.mean:.4f} ({each.recall.lower:.4f})",
            bytes_text(each.index_bytes),
            f"{each.latency_ratio:.2f} x now's",
        )


def diagnosis_to_markdown(found: EngineDiagnosis) -> str:
    """Return the page of a diagnosis in an engine."""
    found = one_lined(found)
    lines = [
        f"# {prose(found.version)}",
        "",
        prose(diagnosis_headline(found)),
        "",
        f"Measured in the engine with {found.n_queries:,} queries; {found.index_bytes:,} bytes of index.",
        "",
        *table(CAUSE_HEAD, cause_rows(found)),
        "",
    ]
    if found.prescriptions:
        lines += [*table(PRESCRIPTION_HEAD, prescription_rows(found)), ""]
    lines += [f"- {prose(note)}" for note in found.notes]
    return "\n".join(lines).rstrip() + "\n"


def diagnosis_to_json(found: EngineDiagnosis) -> str:
    """Return everything that was found in an engine."""
    return _to_json({"headline": diagnosis_headline(found), **msgspec.to_builtins(found)})


def _to_json(found: dict[str, Any]) -> str:
    return versioned_json(SCHEMA_VERSION, found).decode()
