"""The file that a decision is frozen in: small, readable, reviewed in a pull request like code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tuner.data.copies import list_bytes
from tuner.data.split import with_generation
from tuner.errors import InputError
from tuner.gate.frozen_filters import as_lines, fault_of, from_lines, frozen_filters
from tuner.report.soundness import MOST, MOST_EF, MOST_LINKS, MOST_WIDE, names_known_codecs
from tuner.runtime.journal import write_atomically
from tuner.runtime.machine import now
from tuner.search import is_of_shards
from tuner.space import load_yaml
from tuner.text import one_lined
from tuner.types import (
    BaselineData,
    BaselineQueries,
    GateBaseline,
    Memory,
    OperatingPoint,
    Preference,
    Recall,
    Result,
)
from tuner.types.gate_baseline import BASELINE_SCHEMA_VERSION

HITS_A_LINE = 25
ROUNDING = 1e-5
"""Reports keep six digits."""
HEAD = """\
# What `tune baseline` froze and `tune check` compares with. A change is made with `tune check --update`
# and reviewed like code. Hits are right answers of each query, in the order of the queries.
"""
OF_SHARDS = (
    "is of an index in shards, whose recall tune check cannot measure yet: freeze a run without --shards and "
    "--ray"
)
MAKE_ANOTHER = "make another with tune baseline report.json"


def save_baseline(result: Result, name: Preference | None = None) -> GateBaseline:
    """Return the decision of a run.

    Args:
        name: name of the point; None for the recommended one.

    Raises:
        InputError: the run has no such decision, or its report does not hold what is needed.
    """
    if result.status == "exact":
        raise InputError(
            "the report recommends exact search, which cannot lose recall: there is nothing to freeze"
        )
    if result.status == "extrapolated":
        raise InputError(
            "the report is of a sample, and no index was built: freeze the report of tune build, which "
            "builds it"
        )
    if result.sharded is not None:
        raise InputError(f"the report {OF_SHARDS}")
    if result.status != "reached" or result.recommendation is None:
        raise InputError(
            "the report reached no target, so there is nothing to freeze: run tune with one that it reaches"
        )
    preferred = result.named[result.options.prefer]
    position = preferred if name is None else result.named[name]
    point = result.points[position]
    if result.queries.indexed and (result.whole is None or position != preferred):
        point, result = _before_rows_were_added(point, result)
    whole = result.whole if result.queries.indexed else None
    if whole is None:
        frozen = _baseline_of(result, point, point.recall, point.ndis_per_query, point.hits)
        return replace(frozen, filters=frozen_filters(result, position))
    return _baseline_of(result, point, whole.recall, whole.ndis_per_query, whole.hits)


def _before_rows_were_added(point: OperatingPoint, result: Result) -> tuple[OperatingPoint, Result]:
    """Return a point whose index was measured and not handed over, as it was measured: without queries."""
    n = result.profile.n_indexed
    left = n - len(result.queries.held_out_rows)
    found, memory = result.collapsed, point.memory
    if found is not None:
        n_copies, n = left - found.n_measured_on, found.n_distinct
        left = found.n_measured_on
        found = replace(found, n_distinct=left, n_copies=n_copies)
        memory = replace(memory, copies_bytes=list_bytes(n_copies))
    sizes = {name: size * left // n for name, size in msgspec.to_builtins(memory).items()}
    kept = {"ids_bytes": 8 * left, "copies_bytes": memory.copies_bytes}
    memory = Memory(**{**sizes, **kept})  # positions are no rows while some are missing
    result = replace(result, queries=replace(result.queries, indexed=False), collapsed=found)
    return replace(point, memory=memory), result


def _baseline_of(
    result: Result, point: OperatingPoint, recall: Recall, ndis: float, hits: tuple[int, ...]
) -> GateBaseline:
    options = result.options
    parts = {key.removesuffix("_bytes"): size for key, size in msgspec.to_builtins(point.memory).items()}
    return GateBaseline(
        created=now(),
        label=point.configuration.label,
        recall=options.recall,
        k=options.k,
        confidence=options.confidence,
        seed=options.seed,
        configuration=point.configuration,
        ef_search=point.ef_search,
        graph_M=options.space.most_links,
        generations=options.earlier and with_generation(options.earlier, result.profile, result.queries),
        data=BaselineData.of(result.profile, 0 if result.collapsed is None else result.collapsed.n_copies),
        duplicates=options.duplicates,
        queries=BaselineQueries.of(result.queries),
        measured_recall=recall.mean,
        measured_lower=recall.lower,
        ndis_per_query=ndis,
        bytes={"total": point.memory.resident_bytes, **parts},
        latency_s=point.latency.mean_s if point.latency is not None else None,
        machine=machine_of(result.machine),
        versions=result.versions,
        hits=hits,
    )


def machine_of(described: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a machine's description that times can be compared by."""
    return {key: described[key] for key in ("processor", "cores", "system") if key in described}


def write_baseline(baseline: GateBaseline, path: Path) -> None:
    """Write the decision as YAML, whole or not at all, with the hits at the end."""
    tree: dict[str, Any] = msgspec.to_builtins(one_lined(baseline))
    as_lines(tree)
    hits = [str(count) for count in tree.pop("hits")]
    lines = [" ".join(hits[start : start + HITS_A_LINE]) for start in range(0, len(hits), HITS_A_LINE)]
    head = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)
    text = f"{HEAD}{head}hits: |\n" + "".join(f"  {line}\n" for line in lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


def read_baseline(path: Path) -> GateBaseline:
    """Return the decision of a file.

    Raises:
        InputError: it is missing, damaged, of a newer schema, or no such file.
    """
    if is_of_shards(path):
        raise InputError(f"{path}: {OF_SHARDS}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}): name the file that tune baseline wrote"
        ) from None
    return parse_baseline(data, path)


def parse_baseline(data: bytes, path: Path) -> GateBaseline:
    """Return the decision that a file holds, or held once.

    Args:
        data: its content.
        path: file in messages.

    Raises:
        InputError: it is damaged, of a newer schema, or no such file.
    """
    tree = _mapping(data, path)
    version = tree.get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise InputError(f"{path}: is no baseline, it has no schema_version: {MAKE_ANOTHER}")
    if version < BASELINE_SCHEMA_VERSION:
        raise InputError(
            f"{path}: was frozen by an older version, on half of its queries: run tune again and freeze its "
            "report with tune baseline"
        )
    if version > BASELINE_SCHEMA_VERSION:
        raise InputError(
            f"{path}: has schema {version} and this version reads up to {BASELINE_SCHEMA_VERSION}: "
            "update vector-index-tuner"
        )
    try:
        from_lines(tree)
        tree["hits"] = [int(count) for count in str(tree.get("hits", "")).split()]
        baseline = one_lined(msgspec.convert(tree, GateBaseline))
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(f"{path}: is damaged or no baseline ({error}): {MAKE_ANOTHER}") from None
    _check_sound(baseline, path)
    return baseline


def _figures(baseline: GateBaseline) -> dict[str, tuple[float, float]]:
    """Return figures by name, each with the most that it can be; none is 0 or less."""
    what = baseline.configuration
    return {
        "data.n": (baseline.data.n, MOST),
        "queries.n": (baseline.queries.n, MOST),
        "the number of indexed vectors": (baseline.n_indexed, MOST),
        "data.d": (baseline.data.d, MOST_WIDE),
        "configuration.dims": (what.dims, baseline.data.d + 1),
        "configuration.M": (what.M, baseline.graph_M),
        "graph_M": (baseline.graph_M, MOST_LINKS),
        "configuration.ef_construction": (what.ef_construction, MOST_EF),
        "configuration.rerank_factor": (what.rerank_factor, MOST_EF),
        "ef_search": (baseline.ef_search, MOST_EF),
        "ndis_per_query": (baseline.ndis_per_query, MOST),
        "bytes.total": (baseline.bytes.get("total", 0), MOST * MOST_WIDE),
        "latency_s": (1.0 if baseline.latency_s is None else baseline.latency_s, MOST),
    }


def _mapping(data: bytes, path: Path) -> dict[Any, Any]:
    try:
        found = load_yaml(data.decode("utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError):
        raise InputError(f"{path}: is no YAML text: {MAKE_ANOTHER}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: is no baseline, it holds no keys: {MAKE_ANOTHER}")
    return found


def _check_sound(baseline: GateBaseline, path: Path) -> None:
    hits, n = baseline.hits, baseline.queries.n
    wrong = [name for name, (figure, most) in _figures(baseline).items() if not 0 < figure <= most]
    if wrong:
        raise InputError(f"{path}: is damaged, {wrong[0]} is out of range: {MAKE_ANOTHER}")
    if not names_known_codecs(baseline.configuration):
        raise InputError(f"{path}: is damaged, it names an unknown codec: {MAKE_ANOTHER}")
    restore = f"restore it from version control, or {MAKE_ANOTHER}"
    if baseline.k < 1 or not 0 < baseline.recall <= 1 or not 0.5 < baseline.confidence < 1:
        raise InputError(f"{path}: k, recall or confidence is out of range: {restore}")
    if len(hits) != n or n < 2:
        raise InputError(f"{path}: is truncated, it holds hits of {len(hits)} of {n} queries: {restore}")
    mean = sum(hits) / (n * baseline.k)
    if min(hits) < 0 or max(hits) > baseline.k or not abs(mean - baseline.measured_recall) <= ROUNDING:
        raise InputError(f"{path}: is damaged, its hits do not give its measured_recall: {restore}")
    if fault := fault_of(baseline, ROUNDING):
        raise InputError(f"{path}: is damaged, {fault}: {restore}")
