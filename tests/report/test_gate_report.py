"""A check for other programs: JUnit, Markdown, JSON, annotations."""

import json
import xml.etree.ElementTree as ET

import pytest
from gated import Gate

from tuner.report.gate import headline, to_annotations, to_json, to_junit, to_markdown


def test_what_is_written_for_others(gate: Gate) -> None:
    found = gate.check(ef_search=10)
    suite = ET.fromstring(to_junit(found)).find("testsuite")  # noqa: S314 - our own
    assert suite is not None
    assert int(suite.get("failures", 0)) == len(suite.findall("testcase/failure")) > 0
    assert int(suite.get("tests", 0)) == len(suite.findall("testcase"))
    table = to_markdown(found).splitlines()
    assert len([row for row in table if row.startswith("| ")]) == len(found.lines) + 1
    tree = json.loads(to_json(found))
    assert next(iter(tree.items())) == ("schema_version", 1)
    assert tree["visible_drop"] == pytest.approx(found.visible_drop)
    errors = to_annotations(found, "a,b:c.yaml")
    assert errors[0].startswith("::error file=a%2Cb%3Ac.yaml,title=tune check%3A ")
    assert headline(found).startswith("regression: ")
