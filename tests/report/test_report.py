import io
import os
import sys
from dataclasses import replace
from pathlib import Path

import faiss
import pytest
import yaml
from rich.console import Console

from tuner.errors import InputError
from tuner.index.codecs import Cut
from tuner.report import (
    Following,
    result_from_json,
    result_to_json,
    result_to_markdown,
    show_result,
    write_report,
)
from tuner.report.faiss_lines import construct_lines, search_lines
from tuner.report.recommended import recommended_yaml
from tuner.report.screen import KEPT_FREE
from tuner.report.words import bytes_text, gain_sentence, seconds_text, verdict
from tuner.types import (
    Ceiling,
    Configuration,
    Cost,
    CurvePoint,
    Latency,
    Memory,
    Metric,
    OperatingPoint,
    Options,
    Profile,
    QuerySet,
    Recall,
    Recommendation,
    ReferenceComparison,
    Result,
    Space,
    StageCost,
)

GOLDEN = Path(__file__).parents[1] / "golden"
NOT_ALLOWED = ("nan", "NaN", "Infinity", "None")


def recall(mean: float, lower: float, n_queries: int = 750) -> Recall:
    return Recall(mean=mean, lower=lower, p5=0.7, share_below_half=0.004, n_queries=n_queries)


def latency(p50_us: float, p95_us: float) -> Latency:
    return Latency(
        mean_s=round(p50_us * 1.1e-6, 9),
        p50_s=round(p50_us * 1e-6, 9),
        p95_s=round(p95_us * 1e-6, 9),
        p99_s=round(p95_us * 1.3e-6, 9),
        n_rounds=9,
        queries_per_second=21500.0,
    )


def memory(codes: int, links: int, rerank: int = 0, disk: int = 0) -> Memory:
    return Memory(
        codes_bytes=codes,
        links_bytes=links,
        levels_bytes=222_000,
        ids_bytes=148_000,
        rerank_bytes=rerank,
        overhead_bytes=1_536,
        disk_bytes=disk,
    )


SMALLEST = OperatingPoint(
    configuration=Configuration(M=6, ef_construction=100, codec="SQ6", dims=384),
    ef_search=78,
    recall=recall(0.957, 0.9531),
    ndis_per_query=1460.25,
    bytes_read_per_query=420552.0,
    memory=memory(5_328_000, 1_900_000),
    predicted_recall=0.953,
    modelled_latency_s=6.25e-05,
    latency=latency(61.25, 92.5),
)
BALANCED = OperatingPoint(
    configuration=Configuration(M=12, ef_construction=100, codec="SQ8", dims=384),
    ef_search=51,
    recall=recall(0.9581, 0.9542),
    ndis_per_query=1290.5,
    bytes_read_per_query=495552.0,
    memory=memory(7_104_000, 3_800_000),
    predicted_recall=0.9549,
    modelled_latency_s=5.8e-05,
    latency=latency(47.5, 66.25),
)
RERANKED = OperatingPoint(
    configuration=Configuration(
        M=16, ef_construction=100, codec="RaBitQ2", dims=256, cut="pca", rerank="fp16", rerank_factor=4
    ),
    ef_search=64,
    recall=recall(0.9612, 0.9571),
    ndis_per_query=1357.0,
    bytes_read_per_query=151984.0,
    memory=memory(1_924_000, 4_900_000, rerank=14_208_000),
    predicted_recall=0.958,
    modelled_latency_s=9.25e-05,
)
SHORT = OperatingPoint(
    configuration=Configuration(
        M=8, ef_construction=100, codec="SQ4", dims=384, rerank="fp32", rerank_factor=2, rerank_at="disk"
    ),
    ef_search=400,
    recall=recall(0.9402, 0.9358),
    ndis_per_query=4100.0,
    bytes_read_per_query=787200.0,
    memory=memory(3_552_000, 2_500_000, disk=28_416_000),
    predicted_recall=None,
    modelled_latency_s=2.5e-04,
    reads_per_query=20.0,
    reaches_target=False,
)

REACHED = Result(
    status="reached",
    options=Options(recall=0.95, threads=2, space=Space(codecs=())),
    profile=Profile(
        source="datasets/docs-minilm-384/base.npy",
        n=18_500,
        d=384,
        dtype="float16",
        fingerprint="7f3a9c",
        metric="cosine",
        metric_reason="all norms are within 1 % of 1",
        norm_min=0.9995,
        norm_mean=1.0,
        norm_max=1.0004,
        n_zero_rows=0,
        n_duplicate_rows=925,
        largest_duplicate_group=12,
        dead_dimensions=(127, 223, 319),
        spectrum_dims=(121, 170, 261),
    ),
    queries=QuerySet(source="datasets/docs-minilm-384/queries.npy", fingerprint="11ee22", n=1_500),
    points=(SMALLEST, BALANCED, RERANKED, SHORT),
    front=(0, 1, 2),
    named={"smallest": 0, "fastest": 1, "balanced": 1},
    recommendation=Recommendation(
        M=12,
        ef_construction=100,
        ef_search=51,
        codec="SQ8",
        dims=384,
        cut="none",
        rerank=None,
        rerank_factor=1,
        rerank_at="memory",
        recall=0.957,
        recall_lower=0.9525,
        memory_bytes=11_275_536,
        disk_bytes=0,
        memory_per_vector_bytes=609.488,
        latency_mean_s=5.225e-05,
        latency_p50_s=4.75e-05,
        latency_p95_s=6.625e-05,
        latency_p99_s=8.6125e-05,
        ndis_per_query=1290.5,
        label="HNSW12,SQ8",
        sentence="Use HNSW12,SQ8, ef_search=51: recall@10 0.957 (at least 0.9525) in 11.3 MB and 47.5 us.",
    ),
    baseline=ReferenceComparison(
        name="float32 HNSW16",
        ef_search=49,
        recall=recall(0.9571, 0.9527),
        memory_bytes=31_100_000,
        latency=latency(57.0, 79.5),
        memory_ratio=2.758,
        latency_ratio=1.2,
    ),
    ceilings=(
        Ceiling(
            codec="SQ8",
            dims=384,
            cut="none",
            code_bytes=384,
            recall_at={1: 0.997, 2: 1.0, 16: 1.0},
            train_s=0.11,
            distance_s=8.5e-08,
        ),
        Ceiling(
            codec="PQ48x8",
            dims=192,
            cut="truncate",
            code_bytes=48,
            recall_at={1: 0.41, 2: 0.58},
            train_s=2.4,
            excluded="its ceiling 0.58 is below the target",
        ),
    ),
    curves=(CurvePoint(M=12, ef_search=32, recall=0.9311, ndis_per_query=902.5),),
    n_configurations=2380,
    prediction_error=0.0034,
    noise_floor=0.012,
    call_overhead_s=2.75e-06,
    cost=Cost(
        wall_s=31.5,
        cpu_s=42.25,
        peak_rss_bytes=412_000_000,
        n_graph_builds=1,
        n_indexes_measured=4,
        stages=(
            StageCost(name="truth", wall_s=0.5, cpu_s=0.9),
            StageCost(name="graph", wall_s=6.0, cpu_s=11.5),
        ),
        ordinary_build_cpu_s=14.5,
        ordinary_builds=2.91379,
    ),
    machine={"cores": 2, "processor": "planted"},
    versions={"tuner": "0.1.0", "faiss": "1.15.1"},
    warnings=("5 % of the rows repeat another row",),
    advice=("--rerank-store disk would save 14.2 MB",),
    created="2026-01-02T03:04:05Z",
)
NOT_REACHED = replace(
    REACHED,
    status="not_reached",
    options=replace(REACHED.options, recall=0.995, max_memory_bytes=6_000_000, max_latency_s=4e-4),
    points=tuple(replace(point, reaches_target=False) for point in REACHED.points),
    front=(),
    named={},
    recommendation=None,
    baseline=None,
    warnings=(),
    advice=("allow 11.3 MB instead of 6 MB",),
)
EXACT = replace(
    REACHED,
    status="exact",
    profile=replace(REACHED.profile, n=180, d=3),
    points=(),
    front=(),
    named={},
    recommendation=None,
    baseline=None,
    ceilings=(),
    curves=(),
    prediction_error=None,
    noise_floor=None,
    call_overhead_s=None,
    n_configurations=0,
    cost=Cost(
        wall_s=0.3, cpu_s=0.25, peak_rss_bytes=96_000_000, n_graph_builds=0, n_indexes_measured=0, stages=()
    ),
    warnings=(),
    advice=(),
)
RESULTS = {"reached": REACHED, "not_reached": NOT_REACHED, "exact": EXACT}


NEXT = Following("Next:", "tune baseline tune-out/base/report.json -o tune-out/base/baseline.yaml")


def on_screen(result: Result, width: int = 80, height: int = 24, *, terminal: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=terminal, color_system=None
    )
    show_result(result, console, NEXT)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().split("\n"))


def test_the_widest_figures_still_fit_80_columns_whole() -> None:
    wide = replace(
        RERANKED,
        ef_search=4096,
        ndis_per_query=123_456.0,
        memory=memory(1_234_500_000, 0),
        latency=latency(1_234.0, 2_345.0),
    )
    text = on_screen(replace(REACHED, points=(SMALLEST, BALANCED, wide)))
    assert max(len(line) for line in text.splitlines()) <= 80
    for figure in ("4096", "0.9612", "0.9571", "66,750", "1,234.9", "1,234/2,345", "123,456"):
        assert f" {figure}" in text


def as_golden(name: str, text: str) -> None:
    """Compares with the frozen file; UPDATE_GOLDEN=1 freezes what is written now."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_the_json_of_a_planted_result_is_frozen() -> None:
    as_golden("report.json", result_to_json(REACHED).decode())


@pytest.mark.parametrize("status", RESULTS)
def test_the_markdown_is_frozen(status: str) -> None:
    as_golden(f"report.{status}.md", result_to_markdown(RESULTS[status]))


@pytest.mark.parametrize("status", RESULTS)
def test_the_screen_is_frozen_and_fits_80_columns_without_colour(status: str) -> None:
    text = on_screen(RESULTS[status])
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "\x1b" not in text
    assert text.isascii()
    as_golden(f"screen.{status}.txt", text)


@pytest.mark.parametrize("status", RESULTS)
@pytest.mark.parametrize("n_notes", [0, 1, 40])
def test_a_terminal_of_24_lines_holds_the_summary(status: str, n_notes: int) -> None:
    """A sentence first, the command last; what has no room is counted, doubts before advice."""
    result = replace(RESULTS[status], warnings=("a doubt",) * n_notes, advice=("some advice",) * n_notes)
    lines = on_screen(result, terminal=True).splitlines()
    assert len(lines) <= 24 - KEPT_FREE
    assert max(len(line) for line in lines) <= 80
    assert " ".join(lines).startswith(verdict(result)[:60])
    assert lines[-2:] == ["Next:", NEXT.command]
    assert any(line.endswith("in report.md.") for line in lines) == (status != "exact" or n_notes > 1)
    assert ("Warning: a doubt" in lines) == (n_notes == 1 or (n_notes > 1 and status != "not_reached"))
    whole = on_screen(result)
    assert whole.count("a doubt") == whole.count("some advice") == n_notes
    assert "in report.md." not in whole


def test_the_front_is_drawn_in_characters() -> None:
    text = on_screen(REACHED)
    assert "    61 us |S\n" in text
    assert f"    48 us |{'':47}B\n" in text
    assert "+- 7.6 to 11.3 MB; S smallest, B balanced, F fastest\n" in text
    alone = replace(REACHED, points=(SMALLEST,), front=(0,), named={"smallest": 0})
    assert "|" not in on_screen(alone)
    assert "\nS smallest\n" in on_screen(alone)


def test_a_doubt_takes_the_place_of_the_drawing() -> None:
    assert "us |" in on_screen(REACHED, terminal=True)
    text = on_screen(replace(REACHED, warnings=("a doubt " * 15,) * 2), terminal=True)
    assert "us |" not in text
    assert text.count("Warning:") == 2


def test_a_command_is_one_line_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    long = replace(NEXT, command="tune " + "x" * 200)
    monkeypatch.setattr(sys.modules[__name__], "NEXT", long)
    assert on_screen(REACHED, terminal=True).splitlines()[-1] == long.command


def test_the_recommended_config_is_frozen() -> None:
    text = recommended_yaml(REACHED)
    assert text is not None
    as_golden("recommended.yaml", text)


@pytest.mark.parametrize("status", RESULTS)
def test_a_result_comes_back_from_its_json(status: str) -> None:
    assert result_from_json(result_to_json(RESULTS[status])) == RESULTS[status]


def test_measured_floats_keep_six_digits_and_the_users_target_all() -> None:
    options = replace(REACHED.options, recall=0.9512345678)
    written = result_to_json(replace(REACHED, options=options, prediction_error=0.00123456789))
    back = result_from_json(written)
    assert back.prediction_error == 0.00123457
    assert back.options.recall == 0.9512345678
    assert result_to_json(back) == written


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_refused_by_its_name(value: float) -> None:
    points = (SMALLEST, replace(BALANCED, latency=replace(latency(1, 2), p95_s=value)))
    with pytest.raises(ValueError, match=r"points\[1\]\.latency\.p95_s is (nan|inf)"):
        result_to_json(replace(REACHED, points=points))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[1]", "no schema_version"),
        (b'{"schema_version": "1"}', "no schema_version"),
        (b'{"schema_version": 0}', "no schema_version"),
        (b'{"schema_version": 1}', "written by an older version, which chose on half of the queries: run"),
        (b'{"schema_version": 3}', "schema 3 and this version reads up to 2: update vector-index-tuner"),
        (b'{"schema_version": 2, "status": "maybe"}', r"does not fit schema 2 \(.*maybe.*status"),
    ],
)
def test_what_is_no_report_is_refused_in_one_sentence(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        result_from_json(data)


def test_the_files_are_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    written = write_report(REACHED, out)
    names = ("report.json", "report.md", "report.html", "recommended.yaml")
    assert written == [out / name for name in names]
    assert sorted(path.name for path in out.iterdir()) == [
        "recommended.yaml",
        "report.html",
        "report.json",
        "report.md",
    ]
    assert (out / "report.json").read_bytes() == result_to_json(REACHED)


def test_a_run_without_an_answer_leaves_no_old_recommendation(tmp_path: Path) -> None:
    write_report(REACHED, tmp_path)
    assert {path.name for path in write_report(NOT_REACHED, tmp_path)} == {
        "report.json",
        "report.md",
        "report.html",
    }
    assert not (tmp_path / "recommended.yaml").exists()


def test_a_failing_write_leaves_the_old_report_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(REACHED, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    whole = Path.write_bytes

    def full_disk(path: Path, content: bytes) -> int:
        if "report.md" in path.name:
            raise OSError("no space left")
        return whole(path, content)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_report(replace(REACHED, created="later"), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_recommended_config_says_what_the_recommendation_says() -> None:
    text = recommended_yaml(REACHED)
    assert text is not None
    config = yaml.safe_load(text)
    assert config["index"] == {
        "kind": "hnsw",
        "metric": "cosine",
        "d": 384,
        "M": 12,
        "ef_construction": 100,
        "ef_search": 51,
        "codec": "SQ8",
        "dims": 384,
        "cut": "none",
        "rerank": None,
        "rerank_factor": 1,
        "rerank_at": "memory",
    }
    assert config["measured"]["recall_lower"] == 0.9525
    made: dict[str, faiss.Index] = {}
    exec(f"import faiss\n{config['faiss']}", made)  # noqa: S102 # the config's own lines are under test
    graph = faiss.downcast_index(made["index"].index)
    assert (made["index"].d, graph.hnsw.efSearch) == (384, 51)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize(
    ("codec", "kind"),
    [
        ("fp32", "IndexHNSWFlat"),
        ("bf16", "IndexHNSWSQ"),
        ("SQ4", "IndexHNSWSQ"),
        ("tqmse2", "IndexHNSWSQ"),
        ("RaBitQ4", "IndexHNSWRaBitQ"),
        ("PQ10x8", "IndexHNSWPQ"),
        ("OPQ8x4", "IndexHNSWPQ"),
    ],
)
@pytest.mark.parametrize("cut", ["none", "pca", "truncate"])
def test_the_construct_lines_make_what_they_say(codec: str, kind: str, cut: Cut, metric: Metric) -> None:
    dims = 50 if cut == "none" else 30
    point = replace(
        BALANCED,
        configuration=Configuration(
            M=12, ef_construction=100, codec=codec, dims=dims, cut=cut, rerank="fp16", rerank_factor=4
        ),
    )
    lines = construct_lines(point, 50, metric)
    made: dict[str, faiss.Index] = {}
    exec("\n".join(("import faiss", *lines)), made)  # noqa: S102 # likewise
    refined = made["index"]
    assert (refined.d, refined.k_factor) == (50, 4)
    assert refined.metric_type == faiss.METRIC_L2
    inner = faiss.downcast_index(refined.base_index)
    while isinstance(inner, faiss.IndexPreTransform):
        inner = faiss.downcast_index(inner.index)
    assert type(inner).__name__ == kind
    assert inner.hnsw.efConstruction == 100
    assert inner.hnsw.nb_neighbors(0) == 24


def test_inner_product_has_no_construct_lines() -> None:
    assert construct_lines(BALANCED, 384, "ip") == ()
    profile = replace(REACHED.profile, metric="ip")
    text = recommended_yaml(replace(REACHED, profile=profile))
    assert text is not None
    assert "faiss" not in yaml.safe_load(text)


def test_a_store_on_disk_is_mapped_by_the_search_lines() -> None:
    answer = REACHED.recommendation
    assert answer is not None
    lines = search_lines(
        replace(REACHED, recommendation=replace(answer, rerank="fp16", rerank_factor=4, rerank_at="disk"))
    )
    assert 'store = faiss.read_index("rerank.faiss", faiss.IO_FLAG_MMAP_IFC)' in lines
    assert lines[-1] == "distances, ids = index.search(queries, 10)"
    assert lines.index("index.k_factor = 4") < len(lines) - 1


def test_the_search_lines_are_four_where_all_is_in_one_file() -> None:
    assert search_lines(REACHED) == (
        "import faiss, numpy as np",
        'index = faiss.read_index("index.faiss")',
        'queries = np.ascontiguousarray(np.load("datasets/docs-minilm-384/queries.npy"), dtype="float32")',
        "distances, ids = index.search(queries, 10)",
    )


def test_the_gain_is_told_in_one_sentence() -> None:
    assert gain_sentence(REACHED) == (
        "Against float32 HNSW16 (ef_search=49, recall 0.957): 2.8 x less memory and 1.2 x less time a query."
    )


@pytest.mark.parametrize(
    ("ratio", "sentence"),
    [
        (1.011, "the same time"),
        (0.989, "the same time"),
        (1.03, "3% less time"),
        (0.8, "25% more time"),
        (2.0, "2.0 x less time"),
    ],
)
def test_a_gain_within_the_noise_floor_is_none(ratio: float, sentence: str) -> None:
    assert REACHED.baseline is not None
    result = replace(REACHED, baseline=replace(REACHED.baseline, latency_ratio=ratio))
    assert gain_sentence(result).endswith(f" and {sentence} a query.")


def test_without_a_recall_that_reaches_the_best_found_has_the_highest_bound() -> None:
    assert verdict(NOT_REACHED) == (
        "Nothing that was measured meets recall@10 >= 0.995 at 95% confidence, memory <= 6 MB, "
        "p95 latency <= 400 us: the best found is PCA256,HNSW16,RaBitQ2,Refine(fp16)x4 with ef_search=64, "
        "recall 0.9612 (at least 0.9571) in 21.4 MB."
    )


def test_where_only_the_memory_is_missing_the_best_found_is_the_smallest_that_reaches() -> None:
    points = (replace(SMALLEST, reaches_target=False), RERANKED, BALANCED)
    assert "the best found is HNSW12,SQ8 " in verdict(replace(NOT_REACHED, points=points))


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 B"), (348, "348 B"), (999.6, "1000 B"), (44_300_000, "44.3 MB"), (999_700_000, "1,000 MB")],
)
def test_bytes_are_spelled(n_bytes: float, text: str) -> None:
    assert bytes_text(n_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.7e-05, "47 us"),
        (0.0015, "1.5 ms"),
        (22.0, "22 s"),
        (186.0, "3.1 min"),
        (9000.0, "2.5 h"),
        (0.0, "0 us"),
    ],
)
def test_seconds_are_spelled(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize("status", RESULTS)
def test_no_missing_figure_is_printed(status: str) -> None:
    text = on_screen(RESULTS[status]) + result_to_markdown(RESULTS[status])
    assert not [word for word in NOT_ALLOWED if word in text]


def test_a_table_cell_cannot_be_broken_by_what_it_holds() -> None:
    ceiling = replace(REACHED.ceilings[1], excluded="a | b\nc `d`")
    assert "| a / b c 'd' |" in result_to_markdown(replace(REACHED, ceilings=(ceiling,)))
