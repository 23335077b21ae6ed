"""A check for other programs: JSON, JUnit XML, Markdown for a pull request, annotations of GitHub."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import msgspec

from tuner.report.json_report import versioned_json
from tuner.report.tables import cell, prose, table
from tuner.report.words import recall_text
from tuner.text import one_line, one_lined
from tuner.types import CheckResult, Line

SIGNS = {"pass": "ok", "fail": "**FAIL**", "info": "-", "warn": "warning"}
SUITE = "tune check"
SCHEMA_VERSION = 1


def headline(result: CheckResult) -> str:
    """Return the decision in one line."""
    result = one_lined(result)
    failed = [line.name for line in result.lines if line.status == "fail"]
    recall = f"recall {recall_text(result.recall)}"
    if not failed:
        return f"passed: {result.label}, {recall}"
    return f"regression: {result.label}, {recall}: {', '.join(failed)}"


def to_json(result: CheckResult) -> bytes:
    """Return the check as JSON, ending in a newline; the updated baseline is not in it."""
    tree: dict[str, Any] = msgspec.to_builtins(result)
    for key in ("updated", "hits"):
        tree.pop(key)
    whole = {"passed": result.passed, "headline": headline(result), **tree}
    return versioned_json(SCHEMA_VERSION, whole)


def to_markdown(result: CheckResult) -> str:
    """Return the check as a table for a comment on a pull request."""
    result = one_lined(result)
    rows = ((cell(line.name), SIGNS[line.status], cell(line.text)) for line in result.lines)
    return (
        "\n".join([f"### {SUITE}: {prose(headline(result))}", "", *table(("what", "decision", ""), rows)])
        + "\n"
    )


def to_junit(result: CheckResult) -> bytes:
    """Return the check as JUnit XML: a test case for each line that decides."""
    result = one_lined(result)
    cases = [line for line in result.lines if line.status in ("pass", "fail")]
    failed = sum(line.status == "fail" for line in cases)
    suite = ET.Element("testsuite", name=SUITE, tests=str(len(cases)), failures=str(failed), errors="0")
    for line in cases:
        case = ET.SubElement(suite, "testcase", classname=SUITE.replace(" ", "."), name=line.name)
        if line.status == "fail":
            ET.SubElement(case, "failure", message=line.text).text = line.text
        else:
            ET.SubElement(case, "system-out").text = line.text
    others = "\n".join(f"{line.name}: {line.text}" for line in result.lines if line not in cases)
    ET.SubElement(suite, "system-out").text = others
    return _written(suite)


def _written(suite: ET.Element) -> bytes:
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def error_junit(sentence: str) -> bytes:
    """Return JUnit XML of a check that could not be judged."""
    suite = ET.Element("testsuite", name=SUITE, tests="1", failures="0", errors="1")
    sentence = one_line(sentence)
    case = ET.SubElement(suite, "testcase", classname=SUITE.replace(" ", "."), name="judged")
    ET.SubElement(case, "error", message=sentence).text = sentence
    return _written(suite)


def error_annotation(sentence: str, file: str) -> str:
    """Return GitHub's workflow command for a check that could not be judged."""
    return _annotation("error", file, Line("not judged", "fail", sentence))


def to_annotations(result: CheckResult, file: str) -> list[str]:
    """Return GitHub's workflow commands: an error a failure, a warning a doubt, on the baseline's file."""
    level = {"fail": "error", "warn": "warning"}
    return [_annotation(level[line.status], file, line) for line in result.lines if line.status in level]


def _annotation(level: str, file: str, line: Line) -> str:
    title = _escaped(f"{SUITE}: {line.name}").replace(":", "%3A").replace(",", "%2C")
    where = _escaped(file).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} file={where},title={title}::{_escaped(line.text)}"


def _escaped(text: str) -> str:
    return one_line(text).replace("%", "%25")
