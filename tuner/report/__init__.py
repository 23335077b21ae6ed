"""A result for people and for machines: a screen, four files, and the way back from one of them."""

from pathlib import Path

from tuner.report.json_report import result_from_json, result_to_json
from tuner.report.markdown import result_to_markdown
from tuner.report.page.run import result_to_html
from tuner.report.recommended import recommended_yaml
from tuner.report.screen import Following, show_result
from tuner.runtime.journal import about, rename_synced
from tuner.types import Result

__all__ = [
    "Following",
    "result_from_json",
    "result_to_html",
    "result_to_json",
    "result_to_markdown",
    "show_result",
    "write_report",
]


def write_report(result: Result, out: Path) -> list[Path]:
    """The files written: ``report`` as JSON, Markdown, HTML, and ``recommended.yaml`` if there is an answer.

    Every file is written beside its place and renamed when all of them are complete, so a reader never sees
    half of one. A ``recommended.yaml`` of an earlier run is removed when this run has no answer.

    Args:
        result: what the run found.
        out: folder to write to; made if it is missing.

    Raises:
        ValueError: a figure of the result is NaN or infinite.
    """
    answer = recommended_yaml(result)
    contents = {
        out / "report.json": result_to_json(result),
        out / "report.md": result_to_markdown(result).encode(),
        out / "report.html": result_to_html(result).encode(),
    }
    if answer is not None:
        contents[out / "recommended.yaml"] = answer.encode()
    out.mkdir(parents=True, exist_ok=True)
    partial = {path: path.with_name(f".{path.name}.partial") for path in contents}
    try:
        for path, content in contents.items():
            with about(path):
                partial[path].write_bytes(content)
        for path in contents:
            rename_synced(partial[path], path)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
    if answer is None:
        (out / "recommended.yaml").unlink(missing_ok=True)
    return list(contents)
