"""What each engine reached, as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.common import origin
from tuner.engine_jobs.measure import predict
from tuner.engines import EngineConfig, find_engine
from tuner.types import Result

COLUMNS = (
    *("engine", "chosen in the engine", "recall predicted by faiss's nearest codec", "recall measured"),
    *("verified again", "bytes predicted", "bytes measured", "its default: memory", "its default: time"),
)
CODEC_COLUMNS = (
    *("engine", "codec (nearest of faiss)", "M, ef_search, re-scoring", "recall predicted", "measured"),
    "difference",
)


def table(found: dict[str, dict[str, Any]], base: Path, plain: Result) -> str:
    """Return all answers as Markdown."""
    for answer in found.values():
        for point in [*answer.get("points", []), *([answer["chosen"]] if answer.get("chosen") else [])]:
            _predict(answer["engine"], point, plain)
    rows = [_row(answer) for answer in found.values()]
    codecs = [line for answer in found.values() for line in _codec_rows(answer)]
    recall = plain.options.recall
    return (
        f"# Every engine on {base.parent.name}/{base.name}, target {recall:g}\n\n"
        f"{origin()}. Predicted: the surface of one plain sweep for faiss's nearest codec at the same "
        "settings, bytes as faiss would take them. Measured: in the engine, on the queries that chose "
        "nothing; verified again: `tune verify` in a fresh process, with a newly built index. The last "
        "columns are the engine's own default at the same target over what was chosen, timed in turns.\n\n"
        + _head(COLUMNS)
        + "".join(rows)
        + "\n## Every codec that was built at full size\n\n"
        + _head(CODEC_COLUMNS)
        + "".join(codecs)
    )


def _head(columns: tuple[str, ...]) -> str:
    return f"| {' | '.join(columns)} |\n" + "|---" * len(columns) + "|\n"


def _predict(name: str, point: dict[str, Any], plain: Result) -> None:
    config = EngineConfig(**point["settings"])
    n = plain.profile.n - len(plain.queries.held_out_rows)
    point["predicted_recall"], point["predicted_bytes"] = predict(find_engine(name), config, plain, n)


def seen_of(point: dict[str, Any]) -> dict[str, Any]:
    """Return the recall of a point; files of schema 2 hold that of the half that chose nothing, too."""
    seen: dict[str, Any] = point.get("validated", point["recall"])
    return seen


def _row(answer: dict[str, Any]) -> str:
    point, verdict = answer.get("chosen"), answer.get("verify", {})
    default = answer.get("default_comparison", answer.get("beside"))  # the latter in files of schema 1
    if point is None:
        return f"| {answer['engine']} | {answer.get('error') or answer['status']} | | | | | | | |\n"
    version = point["applied"]["version"]
    again = verdict.get("recall") or {}
    usual = ("", "")
    if default:
        reached = default["point"]["reaches_target"]
        missed = "" if reached else f" (lower bound {seen_of(default['point'])['lower']:.3f})"
        usual = (f"{default['memory_ratio']:.2f} x{missed}", f"{default['latency_ratio']:.2f} x")
    return (
        f"| {version} | {_settings(point)} | {_share(point['predicted_recall'])} | "
        f"{_recall(seen_of(point))} | {verdict.get('verdict', '-')}: {_recall(again)} | "
        f"{_mb(point['predicted_bytes'])} | {_mb(point['index_bytes'])} | {usual[0]} | {usual[1]} |\n"
    )


def _codec_rows(answer: dict[str, Any]) -> list[str]:
    can = find_engine(answer["engine"]).capabilities
    rows = []
    for point in answer.get("points", []):
        settings = point["settings"]
        codec = can.codec(settings["codec"])
        ahead, seen = point["predicted_recall"], seen_of(point)["mean"]
        difference = "-" if ahead is None else f"{seen - ahead:+.4f}"
        scored = f", x{settings['oversampling']}" if settings["oversampling"] > 1 else ""
        rows.append(
            f"| {answer['engine']} | {settings['codec']} ({codec.nearest if codec else '-'}) | "
            f"{settings['M']}, {settings['ef_search']}{scored} | {_share(ahead)} | "
            f"{_recall(seen_of(point))} | {difference} |\n"
        )
    return [
        *rows,
        *(
            f"| {answer['engine']} | {name} | {why} | | | |\n"
            for name, why in answer.get("excluded", {}).items()
        ),
    ]


def _settings(point: dict[str, Any]) -> str:
    settings = point["settings"]
    scored = f" x{settings['oversampling']}" if settings["oversampling"] > 1 else ""
    return f"{settings['codec']}{scored} M={settings['M']} ef={settings['ef_search']}"


def _recall(recall: dict[str, Any]) -> str:
    return f"{recall['mean']:.4f} ({recall['lower']:.4f})" if recall else "-"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _mb(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.1f} MB"
