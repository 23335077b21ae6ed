"""The sentences and the spelling of figures that the screen and the Markdown report share."""

from tuner.data.copies import COPIES_FILE
from tuner.report.commands import file_and_column
from tuner.text import counted
from tuner.types import Options, OwnIds, Recall, ReferenceComparison, Result, WholeIndex

BYTE_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
SECOND_UNITS = (
    (7200.0, 1 / 3600, "h"),
    (120.0, 1 / 60, "min"),
    (1.0, 1.0, "s"),
    (1e-3, 1e3, "ms"),
    (0.0, 1e6, "us"),
)
N_CLOSEST = 5


def bytes_text(n_bytes: float) -> str:
    """``348 B``, ``44.3 MB``."""
    for size, unit in BYTE_UNITS:
        if n_bytes >= size:
            return (
                f"{n_bytes / size:.3g} {unit}" if n_bytes < 999.5 * size else f"{n_bytes / size:,.0f} {unit}"
            )
    return f"{n_bytes:.0f} B"


def seconds_text(seconds: float) -> str:
    """``47 us``, ``1.5 ms``, ``22 s``, ``3.1 min`` from two minutes on, ``2.5 h`` from two hours on."""
    _, factor, unit = next(row for row in SECOND_UNITS if seconds >= row[0])
    return f"{seconds * factor:.3g} {unit}" if seconds * factor < 999.5 else f"{seconds * factor:,.0f} {unit}"


def recall_text(recall: Recall) -> str:
    """``0.9709 (at least 0.9644)``."""
    return f"{recall.mean:.4f} (at least {recall.lower:.4f})"


def too_few_queries_text(seen: Recall, target: float, n_queries: int, enough: int) -> str:
    """Say that a recall above the target cannot be shown with so many queries, and how many would do."""
    return (
        f"its recall of {recall_text(seen)} lies above the target of {target:g}, but {n_queries:,} queries "
        f"are too few to show it: about {enough:,} would do"
    )


def query_time_text(seconds: float) -> str:
    """Seconds per query in whole microseconds: ``1,234 us``."""
    return f"{1e6 * seconds:,.0f} us"


def names_of(result: Result, position: int) -> tuple[str, ...]:
    """Which of smallest, fastest and balanced the point at this position is."""
    return tuple(name for name in ("smallest", "fastest", "balanced") if result.named.get(name) == position)


def shown_points(result: Result) -> tuple[int, ...]:
    """The front by memory; without one, the points that come closest to the target."""
    if result.front:
        return result.front
    order = sorted(range(len(result.points)), key=lambda i: _distance_from_target(result, i))
    return tuple(order[:N_CLOSEST])


def recommended_point(result: Result) -> int | None:
    """Position of the recommended point, if there is one."""
    answer = result.recommendation
    if answer is None:
        return None
    preferred = result.named.get(result.options.prefer)
    order = sorted(range(len(result.points)), key=lambda i: i != preferred)
    for i in order:
        point = result.points[i]
        if (point.configuration.label, point.ef_search) == (answer.label, answer.ef_search):
            return i
    return None


def data_sentence(result: Result) -> str:
    """What was tuned on."""
    profile, queries = result.profile, result.queries
    left_out = f" ({counted(profile.n_left_out, 'zero row')} left out)" if profile.n_left_out else ""
    return (
        f"{profile.n:,} x {profile.d} {profile.dtype}{left_out}{_distinct_phrase(result)}, {profile.metric}; "
        f"{counted(queries.n, 'query', 'queries')}{_ids_phrase(result.own_ids)}."
    )


def _distinct_phrase(result: Result) -> str:
    """How many nodes stand for the rows, nothing where each has its own."""
    return "" if result.collapsed is None else f" ({result.collapsed.n_distinct:,} distinct rows)"


def _ids_phrase(own_ids: OwnIds | None) -> str:
    """Whose ids an index answers with, nothing where they are row numbers."""
    if own_ids is None:
        return ""
    deleted = f", {counted(own_ids.n_deleted, 'deleted row')} left out" if own_ids.n_deleted else ""
    return f"; ids from {own_ids.source}{deleted}"


def asked_for(options: Options) -> str:
    """The target and the limits, as one phrase."""
    parts = [f"recall@{options.k} >= {options.recall:g} at {options.confidence:.0%} confidence"]
    if options.max_memory_bytes is not None:
        parts.append(f"memory <= {bytes_text(options.max_memory_bytes)}")
    if options.max_memory_per_vector is not None:
        parts.append(f"memory <= {options.max_memory_per_vector:g} B/vector")
    if options.max_latency_s is not None:
        parts.append(f"p95 latency <= {seconds_text(options.max_latency_s)}")
    return ", ".join(parts)


def verdict(result: Result) -> str:
    """The answer in one sentence."""
    if result.status == "exact":
        return (
            f"With k = {result.options.k:,} of {result.profile.n_indexed:,} vectors exact search is the "
            "answer: recall is 1 by definition and there is no index to tune."
        )
    if result.status in ("reached", "sharded"):
        return result.recommendation.sentence if result.recommendation else ""
    if result.status == "extrapolated":
        return _expected(result)
    wanted = f"Nothing that was measured meets {asked_for(result.options)}"
    closest = shown_points(result)
    if not closest:
        return f"{wanted}."
    best = min(closest, key=lambda i: _distance_from_target(result, i))
    point, recall = result.points[best], result.points[best].recall
    return (
        f"{wanted}: the best found is {point.configuration.label} with ef_search={point.ef_search}, "
        f"recall {recall_text(recall)} in {bytes_text(point.memory.resident_bytes)}."
    )


def _expected(result: Result) -> str:
    """The answer for a whole file of which a sample was measured."""
    of_all, best = result.extrapolation, result.recommendation
    if of_all is None or best is None:
        return ""
    return (
        f"For all {of_all.n:,} vectors {best.label} is expected to need ef_search={of_all.ef_search} "
        f"({of_all.ef_search_low} to {of_all.ef_search_high}) and {of_all.ndis_per_query:,.0f} distances a "
        f"query ({of_all.ndis_per_query_low:,.0f} to {of_all.ndis_per_query_high:,.0f}) in "
        f"{bytes_text(of_all.memory_bytes)}: extrapolated, with 95 % error bars, from a sample of "
        f"{of_all.n_sample:,}, the only part that was measured."
    )


def sample_sentence(result: Result) -> str:
    """What was measured on a sample, and what to do next; empty where all rows were measured."""
    of_all, best = result.extrapolation, result.recommendation
    if of_all is None or best is None:
        return ""
    file, _ = file_and_column(of_all.source)
    return (
        f"On the sample: {best.sentence} What codecs lose was measured among all rows; how graphs grow was "
        f"seen on parts of {_list_of(of_all.part_sizes)} vectors. `tune build REPORT {file}`, where "
        "there is memory for it, builds this index on all rows, finds its ef_search and measures it."
    )


def _list_of(sizes: tuple[int, ...]) -> str:
    return ", ".join(f"{size:,}" for size in dict.fromkeys(sizes))


def gain_sentence(result: Result) -> str:
    """How much less memory and time than the index that most people have; empty without a baseline."""
    base = result.baseline
    if base is None:
        return ""
    memory = _times(base.memory_ratio, "memory", 0.0)
    time = _times(base.latency_ratio, "time", result.noise_floor or 0.0)
    return f"Against {_baseline_name(base)}: {memory} and {time} a query."


def earlier_sentence(result: Result) -> str:
    """What the answer was that the run began from; empty where it began from nothing."""
    before = result.earlier
    if before is None:
        return ""
    text = (
        f"{before.source} recommended {before.label} with ef_search={before.ef_search} for "
        f"{counted(before.n, 'vector')}: recall {before.recall:.4f}, "
        f"{before.memory_per_vector_bytes:.0f} bytes per vector, {before.ndis_per_query:,.0f} distances"
    )
    if before.broken:
        return f"{text}. It no longer holds: {before.broken}."
    return f"{text}. It was built again, and nothing else was tried."


def cost_sentence(result: Result) -> str:
    """What the run took."""
    cost = result.cost
    text = (
        f"This run took {seconds_text(cost.wall_s)} ({cost.cpu_s:,.1f} CPU s) and "
        f"{bytes_text(cost.peak_rss_bytes)} at its peak"
    )
    if cost.n_indexes_measured:
        builds = counted(cost.n_graph_builds, "graph build") if cost.n_graph_builds else "no graph build"
        measured = counted(cost.n_indexes_measured, "index", "indexes")
        text = (
            f"{text}: {builds} for {counted(result.n_configurations, 'configuration')}, {measured} measured"
        )
    if cost.ordinary_builds is None or cost.ordinary_build_cpu_s is None:
        return f"{text}."
    return (
        f"{text}; as much as {cost.ordinary_builds:.1f} ordinary index builds "
        f"(hnswlib, M=16, ef_construction=200: {cost.ordinary_build_cpu_s:,.1f} CPU s)."
    )


def collapsed_sentence(result: Result) -> str:
    """What one node for equal rows means for figures and answers; empty where each row has a node."""
    found = result.collapsed
    if found is None:
        return ""
    return (
        f"The index holds {found.n_distinct:,} distinct rows; {found.n_copies:,} that repeat one of them bit "
        "for bit are in the list beside it. Recall counts rows: an answer gives its row and copies, "
        f"until there are k; the {result.options.k:,} nearest are {found.distinct_per_query:.3g} distinct "
        "rows on average. Bytes are those of index and list over all rows; times are of the search alone, "
        "without looking copies up."
    )


def list_sentence(result: Result) -> str:
    """Where the rows are that the index does not hold itself; empty where each row has a node."""
    if result.collapsed is None:
        return ""
    return (
        f"{COPIES_FILE} beside the index lists {result.collapsed.n_copies:,} rows that repeat one in it; "
        "the lines in recommended.yaml follow it. Recall counts rows."
    )


def whole_sentence(whole: WholeIndex, *, checked: bool) -> str:
    """How the recall of an index that holds the queries too was measured.

    Args:
        checked: whether ``tune check`` can be asked of it.
    """
    compared = ": what `tune check` compares with" if checked else ""
    return (
        f"The {counted(whole.n_added, 'query', 'queries')} are rows of the file: points were measured "
        "without them, and then they were added to the index handed over. Its recall was asked of each half "
        f"of them when only the other half had been added, which cost {whole.fell:.4f}; its lower bound is "
        "lowered by that once more. Of the finished index, each query without its own row, they find "
        f"{recall_text(whole.recall)}{compared}."
    )


def trust_sentence(result: Result) -> str:
    """How far the predictions and the clock can be trusted; empty where nothing was measured."""
    parts = []
    if result.prediction_error is not None:
        parts.append(
            f"predicted recall was off by {result.prediction_error:.4f} on average over "
            f"{counted(len(predicted_points(result)), 'measured point')}"
        )
    if result.noise_floor is not None:
        parts.append(
            f"the same index entered twice differed by {result.noise_floor:.1%} in time (noise floor)"
        )
    if result.call_overhead_s is not None:
        parts.append(f"{seconds_text(result.call_overhead_s)} of every latency is the call from Python")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def predicted_points(result: Result) -> tuple[int, ...]:
    """Positions of the points whose recall was predicted before it was measured."""
    return tuple(i for i, point in enumerate(result.points) if point.predicted_recall is not None)


def _distance_from_target(result: Result, position: int) -> tuple[bool, float, float]:
    """Orders points: those that reach the recall by memory, then the others by how far they fall short."""
    point = result.points[position]
    if point.reaches_target:
        return (False, float(point.memory.resident_bytes), point.modelled_latency_s)
    return (True, -point.recall.lower, float(point.memory.resident_bytes))


def _baseline_name(base: ReferenceComparison) -> str:
    return f"{base.name} (ef_search={base.ef_search}, recall {base.recall.mean:.3f})"


def _times(ratio: float, what: str, noise: float) -> str:
    """``3.6 x less memory``; within the noise it is the same."""
    if abs(ratio - 1) <= max(noise, 0.005):
        return f"the same {what}"
    return f"{ratio:.1f} x less {what}" if ratio > 1.05 else _near(ratio, what)


def _near(ratio: float, what: str) -> str:
    """Ratios too close to one, or below it, for the word "times"."""
    return f"{1 - 1 / ratio:.0%} less {what}" if ratio > 1 else f"{1 / ratio - 1:.0%} more {what}"
