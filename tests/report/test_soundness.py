"""A report that was changed by hand is refused with the name of what no run could have written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuner.errors import InputError
from tuner.report import result_from_json

GOLDEN = Path(__file__).parents[1] / "golden" / "report.json"


def point(**changed: Any) -> Callable[[Any], None]:
    return lambda report: report["points"][0].update(changed)


def configuration(**changed: Any) -> Callable[[Any], None]:
    return lambda report: report["points"][0]["configuration"].update(changed)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda report: report["named"].update(balanced=99), r"named\.balanced is 99 and not from 0 to"),
        (lambda report: report["front"].append(-1), "a position of front is -1"),
        (lambda report: report.update(points=[], front=[]), "named"),
        (lambda report: report.update(recommendation=None), "it reached the target and names no point"),
        (lambda report: report["named"].clear(), "it reached the target and names no point"),
        (lambda report: report["profile"].update(d=0), r"profile\.d is 0 and not from 1 to"),
        (lambda report: report["profile"].update(n=-7), r"profile\.n is -7 "),
        (lambda report: report["queries"].update(n=10**12), r"queries\.n is 1,000,000,000,000 "),
        (lambda report: report["queries"].update(held_out_rows=[-1]), r"queries\.held_out_rows is -1"),
        (lambda report: report["options"].update(k=0), r"options\.k is 0 "),
        (lambda report: report["recommendation"].update(recall=7.5), r"recommendation\.recall is 7\.5 "),
        (point(ef_search=-5), r"points\[0\]\.ef_search is -5 and not from 1 to 1,000,000"),
        (point(hits=[1, 2]), r"points\[0\]\.the number of hits is 2 "),
        (point(ndis_per_query=-1.0), r"points\[0\]\.ndis_per_query is -1\.0 "),
        (configuration(M=10**9), r"points\[0\]\.M is 1,000,000,000 "),
        (configuration(dims=10**5), r"points\[0\]\.dims is 100,000 "),
        (configuration(codec="SQ8'; DROP TABLE x; --"), r"points\[0\] names an unknown codec"),
        (configuration(rerank="gzip"), r"points\[0\] names an unknown codec"),
        (
            lambda r: r["points"][0]["memory"].update(codes_bytes=-1),
            r"points\[0\]\.memory\.codes_bytes is -1 ",
        ),
    ],
)
def test_what_no_run_could_have_written_is_named(change: Callable[[Any], None], sentence: str) -> None:
    report = json.loads(GOLDEN.read_bytes())
    change(report)
    with pytest.raises(InputError, match=rf"^r\.json: is damaged, .*{sentence}"):
        result_from_json(json.dumps(report).encode(), "r.json")
