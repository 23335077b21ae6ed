"""From a report's point to an engine's settings: what is taken in its place, and vectors that do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import tuner
from tuner.cli.main import tune
from tuner.engines import find_engine, read_exported
from tuner.engines.registry import OURS
from tuner.engines.translate import config_of, describe_raised, nearest_expressible, reference_point
from tuner.errors import InputError
from tuner.report import result_from_json
from tuner.types import Metric, OperatingPoint, Result

REPORT = Path(__file__).parents[1] / "golden" / "report.json"
"""HNSW6,SQ6 is the smallest, HNSW12,SQ8 the fastest and balanced; beside them a float32 HNSW16."""


def report() -> Result:
    return result_from_json(REPORT.read_bytes())


def smallest() -> OperatingPoint:
    return report().points[0]


def export(*arguments: str) -> tuple[str, str]:
    done = CliRunner().invoke(tune, ["export", str(REPORT), *arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.stdout, done.stderr


# ---------------------------------------------------------------- what the engine cannot express


def test_the_nearest_measured_point_is_offered_with_what_it_costs() -> None:
    with pytest.raises(InputError) as refused:
        export("--to", "elasticsearch", "--point", "smallest")
    # 11,275,536 / 7,599,536 bytes and 52.25 / 67.375 us
    assert str(refused.value) == (
        "Elasticsearch cannot express HNSW6,SQ6 (it has no codec like SQ6); the nearest measured point that "
        "it can is number 1, HNSW12,SQ8 with ef_search=51: recall 0.9581 (at least 0.9542), 11,275,536 "
        "bytes, 1.48 x the memory and 0.78 x the time of HNSW6,SQ6: take it with --nearest, or tune with "
        "--target elasticsearch"
    )


def test_it_is_taken_when_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "mapping.json"
    _, notes = export("--to", "elasticsearch", "--point", "smallest", "--nearest", "-o", str(out))
    assert notes.startswith("instead of HNSW6,SQ6: number 1, HNSW12,SQ8 with ef_search=51: recall 0.9581")
    _, exported = read_exported(out)
    assert (exported.settings.codec, exported.settings.M) == ("int8_hnsw", 12)
    assert exported.claims.label == "HNSW12,SQ8"
    text = tuner.export(str(REPORT), "elasticsearch", point="smallest", nearest=True)
    assert text == out.read_text(encoding="utf-8")


def test_what_can_be_expressed_is_not_replaced() -> None:
    plain = export("--to", "elasticsearch")
    assert export("--to", "elasticsearch", "--nearest") == plain
    assert plain[1] == ""


def test_the_float32_index_that_was_compared_with_is_a_measured_point_too() -> None:
    found = report()
    [usual] = reference_point(found)
    assert (usual.configuration.label, usual.ef_search) == ("HNSW16,fp32", 49)
    assert usual.memory.resident_bytes == 31_100_000
    for name in ("hnswlib", "duckdb", "chroma", "mongodb", "vespa", "redis"):
        assert nearest_expressible(find_engine(name), found, smallest()) == usual
    with pytest.raises(InputError, match=r"the usual index beside it, HNSW16,fp32 with ef_search=49: recall"):
        config_of(find_engine("hnswlib"), found, smallest())
    assert reference_point(replace(found, baseline=None)) == ()


@pytest.mark.parametrize("name", [name for name in OURS if name != "azure"])
def test_an_sq6_answer_is_a_dead_end_for_no_engine(name: str) -> None:
    text, _ = export("--to", name, "--point", "smallest", "--nearest")
    assert text


def test_where_nothing_can_be_expressed_the_way_out_is_named() -> None:
    """Azure takes M up to 10, and the report has 6 with SQ6, 12 and 16."""
    with pytest.raises(InputError, match=r"nor any other measured point of this report: tune with --target"):
        export("--to", "azure", "--point", "smallest", "--nearest")


def test_without_one_that_reaches_the_target_the_sentence_says_so() -> None:
    found = report()
    missed = tuple(replace(point, reaches_target=False) for point in found.points)
    lost = replace(found, points=missed, baseline=None)
    with pytest.raises(InputError, match=r"HNSW12,SQ8 .* which misses the target, 11,275,536 bytes"):
        config_of(find_engine("elasticsearch"), lost, missed[0])


def test_ef_search_is_raised_to_the_least_that_an_engine_takes_and_told() -> None:
    found = report()
    point = found.points[1]
    small = replace(point, configuration=replace(point.configuration, M=8))
    settings = config_of(find_engine("azure"), found, small)
    assert settings.ef_search == 100
    assert describe_raised(settings, small).startswith(
        "ef_search is 100, the least that it takes, and 51 was"
    )


# ---------------------------------------------------------------- vectors that do not fit


def of_lengths(metric: Metric, shortest: float, longest: float) -> Result:
    found = report()
    return replace(found, profile=replace(found.profile, metric=metric, norm_min=shortest, norm_max=longest))


@pytest.mark.parametrize("lengths", [(0.4, 2.5), (0.98, 1.0), (1.0, 1.02), (0.0, 1.0), (7.0, 7.0)])
def test_inner_products_of_other_lengths_are_refused_where_an_engine_needs_unit_vectors(
    lengths: tuple[float, float],
) -> None:
    found = of_lengths("ip", *lengths)
    [usual] = reference_point(found)
    with pytest.raises(InputError) as refused:
        config_of(find_engine("mongodb"), found, usual)
    assert str(refused.value) == (
        "MongoDB compares by ip only vectors of length 1, and these rows have lengths from "
        f"{lengths[0]:.3g} to {lengths[1]:.3g}: take another engine, or normalise rows and queries and tune "
        "with --metric cosine if only their directions count"
    )


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_other_metrics_take_any_length(metric: Metric) -> None:
    found = of_lengths(metric, 0.4, 2.5)
    assert config_of(find_engine("mongodb"), found, reference_point(found)[0]).metric == metric


def test_unit_vectors_are_taken_and_so_are_others_by_other_engines() -> None:
    unit, other = of_lengths("ip", 0.9995, 1.0004), of_lengths("ip", 0.4, 2.5)
    assert config_of(find_engine("mongodb"), unit, reference_point(unit)[0]).metric == "ip"
    for name in ("elasticsearch", "opensearch", "weaviate", "milvus", "vespa", "qdrant"):
        assert config_of(find_engine(name), other, reference_point(other)[0]).metric == "ip"


# ---------------------------------------------------------------- versions


def test_a_version_that_is_none_is_told_before_anything_else() -> None:
    with pytest.raises(InputError, match=r"^Elasticsearch: it has no version '9.x': give one such as"):
        export("--to", "elasticsearch", "--point", "smallest", "--nearest", "--variant", "9.x")
    with pytest.raises(InputError, match=r"version 9.0 has no int8_hnsw"):
        export("--to", "elasticsearch", "--variant", "9.0")
    assert '"type": "hnsw"' in export("--to", "elasticsearch", "--variant", "9.0", "--nearest")[0]
