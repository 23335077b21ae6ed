"""``report.md``: the answer, its evidence, and everything needed to repeat the run."""

from collections.abc import Iterator

from tuner.data.copies import COPIES_FILE
from tuner.report.evidence import (
    ceilings,
    ef_table,
    graph_curves,
    how_to_repeat,
    measured_points,
    memory_by_part,
    stage_costs,
)
from tuner.report.faiss_lines import IDS_FILE, search_lines, where_it_lies
from tuner.report.filters import filters_sentence, filters_table
from tuner.report.sharded import sharded_sentence, sizes_table
from tuner.report.tables import code_span, facts, plain, prose, table
from tuner.report.words import (
    asked_for,
    bytes_text,
    collapsed_sentence,
    earlier_sentence,
    gain_sentence,
    names_of,
    recommended_point,
    sample_sentence,
    seconds_text,
    shown_points,
    trust_sentence,
    verdict,
    whole_sentence,
)
from tuner.text import counted, one_lined
from tuner.types import Result


def result_to_markdown(result: Result) -> str:
    """The whole report as Markdown, ending in a newline."""
    written = [f"# HNSW for {prose(plain(result.profile.source))}"]
    for title, body in sections(result).items():
        written.append(f"## {title}\n\n{body}" if title else body)
    return "\n\n".join(written) + "\n"


def sections(result: Result) -> dict[str, str]:
    """Bodies of the report's sections by title, in order; those that have nothing to say are left out."""
    lines_of_code, result = tuple(_code(result)), one_lined(result)  # code names the file to the letter
    found = {
        "": _answer(result),
        "The front": _front(result),
        "Filtered search": filters_table(result),
        "Numbers of shards": sizes_table(result),
        "Load and search": lines_of_code,
        "Other k and targets": ef_table(result),
        "Memory by part": memory_by_part(result),
        "The data": _data(result),
        "How it was measured": _method(result),
        "What it cost": stage_costs(result),
        "Every point measured": measured_points(result),
        "Ceilings": ceilings(result),
        "Graph curves": graph_curves(result),
        "To repeat it": how_to_repeat(result),
    }
    bodies = {title: "\n".join(lines) for title, lines in found.items()}
    return {title: body for title, body in bodies.items() if body}


def _answer(result: Result) -> Iterator[str]:
    yield f"**{prose(verdict(result))}**"
    sentences = (sample_sentence, sharded_sentence, filters_sentence, earlier_sentence, gain_sentence)
    for sentence in (f"Asked: {asked_for(result.options)}.", *(each(result) for each in sentences)):
        if sentence:
            yield f"\n{prose(sentence)}"
    if result.warnings or result.advice:
        yield ""
    yield from (f"- Warning: {prose(text)}" for text in result.warnings)
    helps = "What would help" if result.status == "not_reached" else "Advice"
    yield from (f"- {helps}: {prose(text)}" for text in result.advice)


def _front(result: Result) -> Iterator[str]:
    shown = shown_points(result)
    if not shown:
        return
    if not result.front:
        yield "No point meets what was asked. These come closest:\n"
    head = ("index", "ef", "recall", "at least", "p5", "< .5", "B/vector", "memory", "disk", "reads")
    times = ("p50", "p95", "p99", "queries/s", "ndis", "bytes read", "named")
    yield from table((*head, *times), (_front_row(result, i) for i in shown))
    yield (
        f"\nRecall@{result.options.k} is the mean of the queries; `at least` is its lower bound at "
        f"{result.options.confidence:.0%}, wide enough for whichever point is named; `p5` is the 5th "
        "percentile over queries, `< .5` the share of queries below one half. Times are of one query at a "
        "time on one thread; queries/s is one batch on all threads. ndis is distances computed a query."
    )


def _front_row(result: Result, position: int) -> tuple[str, ...]:
    point = result.points[position]
    recall = point.recall
    late = point.latency
    times = (
        ("-", "-", "-")
        if late is None
        else tuple(seconds_text(t) for t in (late.p50_s, late.p95_s, late.p99_s))
    )
    rate = "-" if late is None or late.queries_per_second is None else f"{late.queries_per_second:,.0f}"
    names = ", ".join(names_of(result, position))
    return (
        code_span(point),
        str(point.ef_search),
        f"{recall.mean:.4f}",
        f"{recall.lower:.4f}",
        f"{recall.p5:.2f}",
        f"{recall.share_below_half:.2%}",
        f"{point.memory.resident_bytes / result.profile.n_indexed:,.1f}",
        bytes_text(point.memory.resident_bytes),
        bytes_text(point.memory.disk_bytes) if point.memory.disk_bytes else "-",
        f"{point.reads_per_query:,.0f}" if point.reads_per_query else "-",
        *times,
        rate,
        f"{point.ndis_per_query:,.0f}",
        f"{point.bytes_read_per_query:,.0f}",
        f"**{names}**" if position == recommended_point(result) else names,
    )


def _code(result: Result) -> Iterator[str]:
    if result.status in ("not_reached", "extrapolated"):
        return
    yield f"Plain faiss; {where_it_lies(result, '`')} this report:\n"
    yield from ("```python", *search_lines(result), "```")


def _data(result: Result) -> Iterator[str]:
    profile, queries = result.profile, result.queries
    dead = ", ".join(str(i) for i in profile.dead_dimensions) or "none"
    spectrum = "/".join(str(n) for n in profile.spectrum_dims)
    yield from facts(
        ("vectors", f"{profile.n:,} x {profile.d} {profile.dtype} from `{plain(profile.source)}`"),
        ("metric", f"{profile.metric}: {prose(profile.metric_reason)}"),
        ("norms", f"{profile.norm_min:.5g} to {profile.norm_max:.5g}, mean {profile.norm_mean:.5g}"),
        ("zero rows", f"{profile.n_zero_rows:,}"),
        (
            "repeated rows",
            f"{profile.n_duplicate_rows:,} ({profile.n_duplicate_rows / profile.n:.1%}), "
            f"largest group {profile.largest_duplicate_group:,}",
        ),
        ("dead dimensions", dead),
        ("spectrum", f"{spectrum} principal components hold 90/95/99 % of the variance"),
        (
            "queries",
            f"{queries.n:,} from `{plain(queries.source)}`, "
            f"{queries.n_in_base:,} of them equal to a row of the base",
        ),
    )
    if found := result.collapsed:
        yield (
            f"- collapsed: one node for each of {found.n_distinct:,} distinct rows; `{COPIES_FILE}` "
            f"lists {found.n_copies:,} that repeat one of them, (m, 2) int64: an id of the index, and the "
            "id of a row equal to it, ascending by the first"
        )
    if queries.held_out_rows:
        yield (
            f"- held out: {len(queries.held_out_rows):,} rows of the base became queries while parameters "
            f"were chosen; {_where_they_are(result)}"
        )
    if ids := result.own_ids:
        kept = "the index answers with them" if ids.in_index else f"`{IDS_FILE}` has them by row number"
        gone = f"; {counted(ids.n_deleted, 'row')} deleted on purpose, in no index" if ids.n_deleted else ""
        yield f"- ids: from `{plain(ids.source)}`, {kept}{gone}"


def _where_they_are(result: Result) -> str:
    if result.status == "extrapolated":
        return "no index was handed over"
    return "the index handed over holds them too"


def _method(result: Result) -> Iterator[str]:
    if result.status == "exact":
        yield "Nothing was measured: exact search has recall 1 by definition."
        return
    queries = result.queries
    rounds = max((point.latency.n_rounds for point in result.points if point.latency is not None), default=0)
    yield (
        f"- All {queries.n:,} queries choose and certify: ef_search is the least from which on the lower "
        "bound of recall meets the target, and the bounds of the finalists hold together, whichever is named."
    )
    yield (
        "- A returned vector counts if its exact distance is within that of the exact k-th neighbour, so "
        f"ties count; the lower bound is one-sided at {result.options.confidence:.0%}, "
        "and its unit is the query. The recall of the recommendation is cross-fitted: what new queries can "
        "expect, its own luck taken out."
    )
    if rounds:
        yield (
            f"- Latency: one thread, one query at a time, finalists in turn in up to {rounds} rounds in "
            "random order; where memory holds not all of them at once, a small index has its turn in each "
            "batch and puts them on one clock."
        )
    if result.collapsed is not None:
        yield f"- {collapsed_sentence(result)}"
    if result.whole is not None:
        yield f"- {whole_sentence(result.whole, checked=result.sharded is None)}"
    yield "- Only indexes really built, written and read again are reported; predictions only choose them."
    if trust_sentence(result):
        yield f"- {trust_sentence(result)}"
