"""The evidence in ``report.md``: memory, costs, every point measured, ceilings, curves, how to repeat it."""

from collections.abc import Iterator
from dataclasses import fields

from tuner.report.tables import code_span, facts, optional, plain, table
from tuner.report.words import bytes_text, cost_sentence, predicted_points, shown_points
from tuner.text import counted
from tuner.types import Memory, OperatingPoint, Result, StageCost


def memory_by_part(result: Result) -> Iterator[str]:
    """Serialized bytes of the shown points, part by part."""
    shown = shown_points(result)
    if not shown:
        return
    names = [field.name for field in fields(Memory)]
    if result.collapsed is None:
        names.remove("copies_bytes")
    head = ("index", *(name.removesuffix("_bytes") for name in names), "resident")
    rows = (
        (
            code_span(point),
            *(f"{getattr(point.memory, name):,}" for name in names),
            f"{point.memory.resident_bytes:,}",
        )
        for point in (result.points[i] for i in shown)
    )
    yield from table(head, rows)
    about_list = "" if result.collapsed is None else " copies is the list of them, a file of its own."
    yield (
        "\nBytes of the serialized index; overhead is headers, codebooks and transforms; disk is apart."
        f"{about_list}"
    )


def ef_table(result: Result) -> Iterator[str]:
    """The ef_search of the recommended index for other k and targets."""
    if not result.ef_table:
        return
    ks = sorted({cell.k for cell in result.ef_table})
    found = {(cell.target, cell.k): cell for cell in result.ef_table}
    rows = (
        (f"{target:g}", *(str(found[target, k].ef_search) if (target, k) in found else "-" for k in ks))
        for target in sorted({cell.target for cell in result.ef_table})
    )
    yield from table(("target", *(f"k = {k}" for k in ks)), rows)
    first = result.ef_table[0].recall
    yield (
        f"\nThe least ef_search of the recommended index whose lower bound meets the target, by "
        f"{first.n_queries:,} of the queries; `-`: not found, or not looked for because it takes too long."
    )


def stage_costs(result: Result) -> Iterator[str]:
    """The cost of the run in one sentence, then by stage."""
    yield f"{cost_sentence(result)}\n"
    rows = (
        (stage.name, f"{stage.wall_s:.2f}", f"{stage.cpu_s:.2f}", _peak_cell(stage))
        for stage in result.cost.stages
    )
    yield from table(("stage", "wall s", "CPU s", "peak memory"), rows)


def _peak_cell(stage: StageCost) -> str:
    return bytes_text(stage.peak_rss_bytes) if stage.peak_rss_bytes else "-"


def measured_points(result: Result) -> Iterator[str]:
    """All points, what was predicted beside what was measured."""
    if not result.points:
        return
    head = ("index", "ef", "recall predicted", "recall", "error", "at least", "resident", "ndis")
    rows = (_measured_row(point) for point in result.points)
    yield from table((*head, "modelled us", "measured us", "reaches"), rows)
    if result.prediction_error is not None:
        over = counted(len(predicted_points(result)), "point")
        yield f"\nMean absolute error of predicted recall over {over}: {result.prediction_error:.4f}."


def ceilings(result: Result) -> Iterator[str]:
    """What each codec can reach at best, and why some were left out."""
    if not result.ceilings:
        return
    factors = sorted({factor for ceiling in result.ceilings for factor in ceiling.recall_at})
    head = (
        "codec",
        "dims",
        "code B",
        *(f"x{factor}" for factor in factors),
        "train s",
        "ns/distance",
        "excluded because",
    )
    rows = (
        (
            ceiling.codec,
            str(ceiling.dims) if ceiling.cut == "none" else f"{ceiling.cut} {ceiling.dims}",
            str(ceiling.code_bytes),
            *(optional(ceiling.recall_at.get(factor), ".4f") for factor in factors),
            f"{ceiling.train_s:.2f}",
            optional(ceiling.distance_s and ceiling.distance_s * 1e9, ".0f"),
            plain(ceiling.excluded),
        )
        for ceiling in result.ceilings
    )
    yield (
        f"Recall@{result.options.k} of an exhaustive scan of the codes{_among(result)}, "
        "the best so many times k re-ranked exactly.\n"
    )
    yield from table(head, rows)


def _among(result: Result) -> str:
    """Among what the codes were scanned, where that is not what else was measured on."""
    return "" if result.extrapolation is None else " among all rows of the file"


def graph_curves(result: Result) -> Iterator[str]:
    """Recall and distances of each derived graph."""
    if not result.curves:
        return
    yield "What each derived graph does on exact distances.\n"
    rows = (
        (str(point.M), str(point.ef_search), f"{point.recall:.4f}", f"{point.ndis_per_query:,.0f}")
        for point in result.curves
    )
    yield from table(("M", "ef", "recall", "ndis"), rows)


def how_to_repeat(result: Result) -> Iterator[str]:
    """Everything that another run of the same figures needs."""
    options, space = result.options, result.options.space
    yield from facts(
        ("made", result.created or "-"),
        ("base fingerprint", f"`{result.profile.fingerprint}`"),
        ("queries fingerprint", f"`{result.queries.fingerprint}`"),
        ("seed", str(options.seed)),
        ("threads", str(options.threads or "all cores")),
        ("space", f"{space.name}: M {', '.join(map(str, space.M))}; ef_construction {space.ef_construction}"),
        ("codecs", ", ".join(space.codecs) or "-"),
        ("versions", ", ".join(f"{name} {version}" for name, version in result.versions.items())),
        ("machine", ", ".join(f"{name} {value}" for name, value in result.machine.items())),
    )


def _measured_row(point: OperatingPoint) -> tuple[str, ...]:
    return (
        code_span(point),
        str(point.ef_search),
        optional(point.predicted_recall, ".4f"),
        f"{point.recall.mean:.4f}",
        optional(_error(point), "+.4f"),
        f"{point.recall.lower:.4f}",
        bytes_text(point.memory.resident_bytes),
        f"{point.ndis_per_query:,.0f}",
        f"{point.modelled_latency_s * 1e6:,.1f}",
        "-" if point.latency is None else f"{point.latency.mean_s * 1e6:,.1f}",
        "yes" if point.reaches_target else "no",
    )


def _error(point: OperatingPoint) -> float | None:
    return None if point.predicted_recall is None else point.predicted_recall - point.recall.mean
