"""The page of a run: all its points, nothing from elsewhere that runs, the library's answer everywhere."""

import base64
import hashlib
import html
import json
import random
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from test_report import NOT_REACHED, REACHED, RESULTS

from tuner.report import result_from_json
from tuner.report.charts import CHARTS, chart_of
from tuner.report.charts.bars import PARTS, losses
from tuner.report.charts.queries import worst_queries
from tuner.report.page.answer import answer_html
from tuner.report.page.run import result_to_html
from tuner.report.within import MOST_POINTS, answer_table, best_within, settings_of
from tuner.types import PREFERENCES, Memory, OperatingPoint, OwnIds, Result, TriedEf

ROOT = Path(__file__).parents[2]
REAL = sorted((ROOT / "reports").glob("*/report.json"))
MOST_BYTES = 3_000_000
TEXT = {"p", "b", "em", "strong", "code", "pre"}
HOSTILE = "</script><img src=x onerror=alert(1)>\"'`{{7*7}}](javascript:alert(1))<!--"


def real(path: Path) -> Result:
    return result_from_json(path.read_bytes(), str(path))


def with_tries(point: OperatingPoint, *lowers: tuple[int, float]) -> OperatingPoint:
    tried = [
        TriedEf(ef_search=ef, recall=lower + 0.004, lower=lower, ndis_per_query=10.0 * ef,
                time_ratio=ef / point.ef_search)
        for ef, lower in lowers
    ]  # fmt: skip
    return replace(point, tried=tuple(tried), hits=(3,) * 30 + (7,) * 20 + (10,) * 700)


PLANTED = replace(
    REACHED,
    queries=replace(REACHED.queries, n=750),
    points=(
        with_tries(REACHED.points[0], (40, 0.93), (60, 0.945), (120, 0.97)),
        with_tries(REACHED.points[1], (30, 0.94), (90, 0.981)),
        *REACHED.points[2:],
    ),
)


class Page(HTMLParser):
    """What a browser would make of a page: its scripts, its elements, its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._inside = dict(attrs)
            self.scripts.append((self._inside, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is not None:
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        else:
            self.words.append(data)

    def data(self, name: str) -> Any:
        return next(json.loads(text) for attrs, text in self.scripts if attrs.get("id") == name)


def loads(page: Page) -> Iterator[str]:
    """Everything in a page that a browser would fetch, or run without its digest."""
    for tag, attrs in page.tags:
        for name, value in attrs.items():
            if name.startswith("on"):
                yield f"{tag} {name}"
            if name in ("src", "href", "action", "data") and not (value or "").startswith("data:"):
                yield f"{tag} {name}={value}"
        if tag in ("iframe", "object", "embed", "form") and attrs.get("id") != "choose":
            yield tag


@pytest.mark.parametrize("result", [*RESULTS.values(), PLANTED], ids=[*RESULTS, "planted"])
def test_a_page_is_one_file_whose_scripts_run_by_their_digests_alone(result: Result) -> None:
    text = result_to_html(result)
    page = Page(text)
    assert len(text.encode()) < MOST_BYTES
    assert list(loads(page)) == []
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv")) or ""
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-inline" not in policy.split("script-src")[1]
    assert "unsafe-eval" not in policy
    run = [script for attrs, script in page.scripts if attrs.get("type") != "application/json"]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in run]
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert len(run) == 2


def test_every_chart_has_the_points_of_the_report() -> None:
    n_settings = 4 + 3 + 1 + 1
    charts = {kind: chart for kind in CHARTS if (chart := chart_of(PLANTED, kind)) is not None}
    counts = {
        kind: {name: len(rows) for name, rows in each.datasets.items()} for kind, each in charts.items()
    }
    assert counts["front"] == {"points": 4, "front": 3, "names_left": 2, "reference": 1}
    assert counts["recall"] == {"settings": n_settings, "target": 1}
    assert counts["predicted"] == {"points": 3, "right": 2}
    assert counts["queries"] == {"queries": 11, "p5": 1}
    assert {row["part"] for row in charts["memory"].datasets["parts"]} >= {"codes", "links", "re-ranking"}
    specs = Page(result_to_html(PLANTED)).data("specs")
    assert specs == {kind: json.loads(json.dumps(each.spec)) for kind, each in charts.items()}
    bars = charts["queries"].datasets["queries"]
    assert [row["n"] for row in bars] == [0, 0, 0, 30, 0, 0, 0, 20, 0, 0, 700]


def test_every_part_of_the_memory_has_a_bar() -> None:
    assert set(PARTS.values()) == {field.name for field in fields(Memory)}


def test_bars_add_up_to_what_they_split() -> None:
    for path in REAL:
        result = real(path)
        for point in result.points:
            parts = losses(result, point)
            assert min(parts.values()) >= 0
            assert sum(parts.values()) == pytest.approx(1 - point.recall.mean)
        memory = chart_of(result, "memory")
        assert memory is not None
        by_label: dict[str, float] = {}
        for row in memory.datasets["parts"]:
            if row["part"] != "on disk, not in memory":
                by_label[row["label"]] = by_label.get(row["label"], 0) + row["value"]
        for position in result.front:
            point = result.points[position]
            whole = point.memory.resident_bytes / result.profile.n_indexed
            assert by_label[point.configuration.label] == pytest.approx(whole)


def test_a_specification_is_valid_and_drawn_by_others() -> None:
    altair = pytest.importorskip("altair")
    for result in (PLANTED, NOT_REACHED, real(REAL[0])):
        for kind in CHARTS:
            if (chart := chart_of(result, kind)) is not None:
                altair.LayerChart.from_dict(chart.spec)  # raises where the schema is broken
    with pytest.raises(Exception, match="layers"):
        altair.LayerChart.from_dict({**chart_of(PLANTED, "front").spec, "layers": 1})  # type: ignore[union-attr]


def test_the_worst_queries_are_the_rows_of_their_file() -> None:
    assert [(each.number, each.hits) for each in worst_queries(PLANTED)] == [(row, 3) for row in range(10)]
    held = replace(PLANTED, queries=replace(PLANTED.queries, held_out_rows=tuple(range(5_000, 5_750))))
    assert [each.number for each in worst_queries(held)] == list(range(5_000, 5_010))
    assert worst_queries(REACHED) == ()


# ---------------------------------------------------------------- other limits


def test_at_the_run_s_own_limits_the_answer_is_the_run_s_own() -> None:
    assert len(REAL) >= 5
    for path in REAL:
        result = real(path)
        for prefer in PREFERENCES:
            found = best_within(result, result.options.recall, prefer=prefer)
            assert found is not None
            assert found.position == result.named[prefer], (path, prefer)
            assert found.ef_search == result.points[found.position].ef_search


def test_another_target_takes_the_least_ef_search_that_meets_it() -> None:
    lower = best_within(PLANTED, 0.935, prefer="smallest")
    higher = best_within(PLANTED, 0.965, prefer="smallest")
    assert (lower.position, lower.ef_search, lower.timed) == (0, 60, False)  # type: ignore[union-attr]
    assert (higher.position, higher.ef_search) == (0, 120)  # type: ignore[union-attr]
    assert higher.seconds == pytest.approx(REACHED.points[0].seconds * 120 / 78)  # type: ignore[union-attr]
    highest = best_within(PLANTED, 0.98)
    assert (highest.position, highest.ef_search) == (1, 90)  # type: ignore[union-attr]
    assert best_within(PLANTED, 0.99) is None
    assert best_within(PLANTED, 0.95, max_memory_bytes=1) is None


def looked_up(choice: dict[str, Any], recall: float, budget: float, prefer: str) -> tuple[str, int] | None:
    """As page.js looks it up."""
    column = sum(size <= budget for size in choice["sizes"]) - 1
    row = next((i for i, bound in enumerate(choice["recalls"]) if bound >= recall), None)
    rows = [] if row is None else choice["answers"][prefer][row]
    if recall == choice["recall"]:
        rows = choice["own"][prefer]
    found = rows[column] if rows and column >= 0 else -1
    setting = choice["settings"][found]
    return None if found < 0 else (setting["label"], setting["ef_search"])


@pytest.mark.parametrize("result", [PLANTED, NOT_REACHED, *map(real, REAL[:3])])
def test_the_sliders_have_the_library_s_answer_for_all_limits(result: Result) -> None:
    choice = Page(result_to_html(result)).data("choice")
    draw = random.Random(0)  # noqa: S311 - no secret
    seen = set()
    for _ in range(60):
        between = round(draw.uniform(choice["least_recall"], choice["most_recall"]), 3)
        recall = draw.choice([result.options.recall, between, draw.choice(choice["recalls"])])
        budget = draw.uniform(choice["least_size"], choice["most_size"])
        prefer = draw.choice(PREFERENCES)
        found = best_within(result, recall, budget, prefer)
        expected = None if found is None else (found.label, found.ef_search)
        assert looked_up(choice, recall, budget, prefer) == expected
        seen.add(expected)
    assert len(seen) > 1


def test_whoever_measured_a_whole_space_still_has_a_page() -> None:
    one = replace(PLANTED.points[1], hits=(), latency=None)
    many = tuple(replace(one, configuration=replace(one.configuration, M=M)) for M in range(2, 1_002))
    result = replace(PLANTED, points=(*PLANTED.points, *many))
    text = result_to_html(result)
    assert len(text.encode()) < MOST_BYTES
    assert text.count('<details class="point"') == MOST_POINTS
    assert len(Page(text).data("specs")["front"]["datasets"]["points"]) == 1_004
    assert len(answer_table(result).settings) == 4 + 3
    assert {each.position for each in settings_of(result)} == set(range(MOST_POINTS))


# ---------------------------------------------------------------- hostile text


def hostile() -> Result:
    return replace(
        PLANTED,
        profile=replace(PLANTED.profile, source=HOSTILE + ".npy", metric_reason=HOSTILE),
        queries=replace(PLANTED.queries, source=HOSTILE),
        warnings=(HOSTILE,),
        advice=(HOSTILE,),
        created=HOSTILE,
        versions={HOSTILE: HOSTILE, "tuner": HOSTILE},
        machine={HOSTILE: HOSTILE},
        baseline=replace(PLANTED.baseline, name=HOSTILE),  # type: ignore[type-var]
        recommendation=replace(PLANTED.recommendation, sentence=HOSTILE),  # type: ignore[type-var]
        options=replace(PLANTED.options, space=replace(PLANTED.options.space, name=HOSTILE)),
    )


def test_hostile_text_is_shown_and_neither_runs_nor_breaks_the_page() -> None:
    page, plain = Page(result_to_html(hostile())), Page(result_to_html(PLANTED))
    assert list(loads(page)) == []
    names = [[tag for tag, _ in each.tags if tag not in TEXT] for each in (page, plain)]
    assert names[0] == names[1], "an element that our own templates did not write"
    assert len(page.scripts) == len(plain.scripts)
    assert page.data("choice")["settings"] == plain.data("choice")["settings"]
    assert page.data("specs")["front"]["datasets"]["reference"][0]["label"] == HOSTILE
    words = "".join(page.words)
    assert words.count("onerror=alert(1)") >= 8
    assert words.count("{{7*7}}") >= 8


def test_hostile_text_in_a_notebook() -> None:
    page = Page(answer_html(hostile(), chart_of(hostile(), "front"), ""))
    assert list(loads(page)) == []
    assert {tag for tag, _ in page.tags} <= TEXT | {"div", "table", "thead", "tbody", "tr", "th", "td"}


def commands(source: str, asked: str, **changed: Any) -> list[str]:
    """What the page of a run over a file, asked by another, says to type."""
    profile = replace(PLANTED.profile, source=source)
    queries = replace(PLANTED.queries, source=asked, held_out_rows=())
    result = replace(PLANTED, profile=profile, queries=queries, **changed)
    found = html.unescape(re.sub("<[^>]*>", "\n", result_to_html(result)))
    return [line for line in found.splitlines() if line.startswith("tune ")]


def test_commands_take_files_and_columns_as_they_were_given() -> None:
    ids = OwnIds(source="my items.parquet[sku]", in_index=False, n_deleted=0)
    items = "my items.parquet[embedding]"
    given = "'my items.parquet' --queries log.npy --column embedding --ids sku"
    found = commands(items, "log.npy", own_ids=ids)
    assert f"tune check baseline.yaml {given} --index index.faiss" in found
    assert f"tune run --since report.json {given}" in found
    other = commands(items, "log.npy", own_ids=replace(ids, source="ids.npy"))
    assert any(line.endswith("--ids ids.npy") for line in other)
    assert not [line for line in commands("base array", "log.npy") if "array" in line]


def test_one_name_is_not_given_to_base_and_queries_of_different_names() -> None:
    found = commands("glove.hdf5[train]", "glove.hdf5[test]")
    assert "tune run --since report.json glove.hdf5 --queries glove.hdf5" in found
    found = commands("chroma:///shop?collection=items[items]", "log.parquet[vector]")
    assert "tune run --since report.json 'chroma:///shop?collection=items' --queries log.parquet" in found
