"""The command that a user would type next, as the last line of a summary."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuner.api.result import REPORT_NAME
from tuner.report import Following
from tuner.report.words import shown_points
from tuner.search import INDEX_FILE
from tuner.types import Options, Result

GIVEN_AGAIN = ("queries", "ids", "column")
"""Parameters of a run that its data depend on."""
OF_SHARDS = ("shards", "ray")
"""Parameters that its shards depend on."""


def next_command(result: Result, out: Path, given: Mapping[str, Any]) -> Following:
    """Return what to type after a run, and why.

    Args:
        out: folder of its results.
        given: parameters of its command.
    """
    report = shlex.quote(str(out / REPORT_NAME))
    if result.status == "reached":
        return Following(
            "Next, so that CI notices when recall drops:",
            f"tune baseline {report} -o {shlex.quote(str(out / 'baseline.yaml'))}",
        )
    if result.status == "exact":
        read = f"import faiss; print(faiss.read_index({json.dumps(str(out / INDEX_FILE))}).ntotal)"
        return Following("Next, the index that searches exactly:", f"python -c {shlex.quote(read)}")
    if result.status == "sharded":
        read = (
            f"from tuner.search import ShardedIndex; print(ShardedIndex.load({json.dumps(str(out))}).ntotal)"
        )
        return Following("Next, the index with all its shards:", f"python -c {shlex.quote(read)}")
    if result.extrapolation is not None:
        words = ["tune", "build", str(out / REPORT_NAME), str(given["file"])]
        for name in GIVEN_AGAIN:
            words += [f"--{name}", str(given[name])] if given.get(name) else []
        words += ["--out", str(out.with_name(f"{out.name}-built"))]
        return Following("Next, where there is memory for all rows:", shlex.join(words))
    options = result.options
    limited = without_limits(options) != options
    recall = options.recall if limited else reachable(result)
    words = ["tune", "--recall", f"{recall:g}"]
    for name in (*GIVEN_AGAIN, *OF_SHARDS):
        if given.get(name):
            words += [f"--{name}", str(given[name])]
    words += [*(["--k", str(options.k)] if options.k != Options(recall=1.0).k else []), str(given["file"])]
    words += ["--out", str(out), "--force"]
    why = "without the limits" if limited else "with a target that was reached"
    return Following(f"Next, {why}:", shlex.join(words))


def without_limits(options: Options) -> Options:
    """Return the options without a limit on memory or latency."""
    return replace(options, max_memory_bytes=None, max_memory_per_vector=None, max_latency_s=None)


def reachable(result: Result) -> float:
    """Return a target below the best lower bound that was measured, in hundredths."""
    bounds = [result.points[i].recall.lower for i in shown_points(result)]
    return max(0.01, math.floor(100 * max(bounds, default=0.5)) / 100)
