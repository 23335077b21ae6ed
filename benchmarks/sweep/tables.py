"""``table.md`` and ``scores.json``: every figure with its command, versions, machine and date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.common import shown_command, write_lines
from benchmarks.sweep.answers import Failure, Task
from benchmarks.sweep.ordinary import Ordinary
from benchmarks.sweep.score import Scored
from tuner.report.tables import optional, plain, table
from tuner.runtime.journal import write_atomically
from tuner.runtime.machine import describe_machine, now

SCORES, TABLE = "scores.json", "table.md"


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One benchmark: what was asked, what each contestant answered, and where the figures come from.

    Attributes:
        name: name of the benchmark.
        base: file name of the vectors.
        n: number of vectors.
        d: dimensions.
        metric: metric of the search.
        recall: target recall@k.
        k: neighbours asked for.
        seed: random seed.
        threads: threads for building.
        n_scoring: queries that answers are scored on.
        ordinary: CPU seconds of one ordinary build, the unit of cost.
        noise_floor: A/A, the largest share by which the first answer's time differed from its own.
        scored: answers with what the scorer saw.
        failures: contestants without an answer.
        command: command line that repeats it.
        created: time of the run, ISO 8601.
        versions: versions of what the figures depend on.
        machine: processor, cores and system.
    """

    name: str
    base: str
    n: int
    d: int
    metric: str
    recall: float
    k: int
    seed: int
    threads: int
    n_scoring: int
    ordinary: Ordinary
    noise_floor: float
    scored: tuple[Scored, ...]
    failures: tuple[Failure, ...]
    command: str
    created: str
    versions: dict[str, str]
    machine: dict[str, Any]


def gather(
    task: Task, base: Path, ordinary: Ordinary, scored: list[Scored], failures: list[Failure], noise: float
) -> Scores:
    """Return the scores of a task with where they come from."""
    return Scores(
        name=task.name,
        base=base.name,
        n=task.n,
        d=task.d,
        metric=task.metric,
        recall=task.recall,
        k=task.k,
        seed=task.seed,
        threads=task.threads,
        n_scoring=scored[0].recall.n_queries if scored else 0,
        ordinary=ordinary,
        noise_floor=noise,
        scored=tuple(scored),
        failures=tuple(failures),
        command=shown_command(),
        created=now(),
        versions=task.versions,
        machine=describe_machine(),
    )


def write_scores(scores: Scores, out: Path) -> None:
    """Write ``scores.json`` and ``table.md`` to ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / SCORES, msgspec.json.format(msgspec.json.encode(scores)) + b"\n")
    write_table(scores, out)


def write_table(scores: Scores, out: Path) -> None:
    """Write ``table.md`` to ``out``."""
    write_lines(table_lines(scores), out / TABLE)


def read_scores(path: Path) -> Scores:
    """Return the scores of a file."""
    return msgspec.json.decode(path.read_bytes(), type=Scores)


def head(scores: Scores) -> tuple[str, ...]:
    """Return the names of the columns; what depends on time shows the noise of the machine beside it."""
    noise = f"(A/A {scores.noise_floor:.1%})"
    return (
        *("contestant", "index", "ef", "recall", "lower", "lower bound meets the target", "B/vector"),
        *(f"us/query {noise}", "ndis", f"memory x latency {noise}"),
        *("graphs built", "CPU s", "wall s", "ordinary builds", "peak MB"),
    )


def table_lines(scores: Scores) -> Iterator[str]:
    """Yield the lines of ``table.md``."""
    yield f"# {scores.name}: {scores.n:,} x {scores.d}, {scores.metric}, recall@{scores.k} >= {scores.recall}"
    yield ""
    yield from table(head(scores), (_row(each, scores) for each in scores.scored))
    yield ""
    if scores.failures:
        yield from table(
            ("did not answer", "why"), ((each.contestant, plain(each.reason)) for each in scores.failures)
        )
        yield ""
    yield from provenance(scores)
    for each in scores.scored:
        if each.answer.note:
            yield f"- {each.answer.contestant}: {plain(each.answer.note)}."


def _row(each: Scored, scores: Scores) -> tuple[str, ...]:
    answer = each.answer
    return (
        answer.contestant,
        f"`{answer.label}`",
        str(answer.ef_search),
        f"{each.recall.mean:.4f}",
        f"{each.recall.lower:.4f}",
        "yes" if each.meets(scores.recall) else "**no**",
        f"{each.memory_bytes / scores.n:.0f}",
        f"{1e6 * each.latency.mean_s:.0f}",
        optional(each.ndis_per_query, ".0f"),
        f"{each.product_ratio:.2f}",
        str(answer.n_builds),
        f"{answer.cpu_s:.1f}",
        f"{answer.wall_s:.1f}",
        f"{each.ordinary_builds:.1f}",
        f"{answer.peak_rss_bytes / 1e6:.0f}",
    )


def provenance(scores: Scores) -> Iterator[str]:
    """Yield what a reader needs to repeat and to doubt the figures."""
    base_mb = 4e-6 * scores.n * scores.d
    versions = ", ".join(f"{name} {version}" for name, version in scores.versions.items())
    yield f"- recall, its lower 95 % bound and ndis: {scores.n_scoring} queries that no contestant has seen."
    yield (
        "- us/query: mean, one query at a time, one thread, all indexes interleaved; the first index, "
        f"entered twice, differs from itself by {scores.noise_floor:.1%} (A/A): nearer ratios say nothing. "
        "Memory x latency is relative to the first row."
    )
    yield (
        f"- one ordinary build (hnswlib M=16 ef_construction=200 float32, {scores.threads} threads) takes "
        f"{scores.ordinary.cpu_s:.1f} CPU s; a contestant's cost is its whole process, imports included."
    )
    yield (
        f"- peak MB includes {scores.ordinary.idle_bytes / 1e6:.0f} MB of a process that has done nothing; "
        f"the base in float32 has {base_mb:.0f} MB."
    )
    load = max((each.answer.load for each in scores.scored), default=0.0)
    yield (
        f"- before a contestant started, the machine's load was at most {load:.1f}: above the cores that are "
        "left, CPU seconds and times are higher than they would be alone."
    )
    yield f"- `{scores.command}` on {scores.base}, seed {scores.seed}, {scores.created}"
    machine = scores.machine
    yield f"- {machine['processor']}, {machine['cores']} cores, {machine['system']}; {versions}"
