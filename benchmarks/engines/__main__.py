"""Every engine tuned and verified on one data set: ``python -m benchmarks.engines BASE QUERIES --out
FOLDER``.

Runs the two commands that a user would, ``tune --target ENGINE`` and ``tune verify`` in a process of its
own, and puts what they printed side by side. An engine whose answer is there is not run again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.common import ROOT
from tuner.engine_jobs.measure import predict
from tuner.engines import EngineConfig, engine_names, find_engine, missing_modules
from tuner.engines.export import suffix
from tuner.report import result_from_json
from tuner.runtime.journal import write_atomically
from tuner.runtime.machine import describe_machine, describe_versions, now
from tuner.types import Result

TUNE = "from tuner.cli.main import main; main()"
COLUMNS = (
    *("engine", "chosen in the engine", "recall predicted by faiss's nearest codec", "recall measured"),
    *("verified again", "bytes predicted", "bytes measured", "its default: memory", "its default: time"),
)
CODEC_COLUMNS = (
    *("engine", "codec (nearest of faiss)", "M, ef_search, re-scoring", "recall predicted", "measured"),
    "difference",
)


@click.command()
@click.argument("base", type=click.Path(exists=True, path_type=Path))
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where answers and table go.")
@click.option("--engines", "names", default="", help="Comma-separated.  [default: all that run here]")
@click.option("--recall", default=0.95, show_default=True)
@click.option("--space", type=click.Path(exists=True), help="Codecs to try, as tune --space.  [default: all]")
@click.option("--rows", type=int, default=None, help="Only the first rows of the base.")
def main(
    base: Path, queries: Path, out: Path, names: str, recall: float, space: str | None, rows: int | None
) -> None:
    """Tune for every engine on BASE with QUERIES, verify each configuration, and write the table."""
    out.mkdir(parents=True, exist_ok=True)
    if rows is not None:
        base = _first_rows(base, rows, out)
    chosen = names.split(",") if names else [n for n in engine_names() if find_engine(n).open is not None]
    for name in chosen:
        answer = out / f"{name}.json"
        if missing_modules(find_engine(name)):
            click.echo(f"{name}: not installed, left out")
        elif not answer.exists():
            found = _run(name, base, queries, recall, out / "work" / name, space)
            write_atomically(answer, (json.dumps(found, indent=1) + "\n").encode())
            click.echo(
                f"{name}: {found['status']}, {found['verify'].get('headline', found.get('error', ''))}"
            )
    plain = _plain(base, queries, recall, out / "work" / "plain")
    found = {name: json.loads(path.read_text()) for name in chosen if (path := out / f"{name}.json").exists()}
    write_atomically(out / "table.md", table(found, base, queries, plain).encode())
    click.echo(f"{out / 'table.md'}")


def _first_rows(base: Path, rows: int, out: Path) -> Path:
    import numpy as np  # noqa: PLC0415 - only here

    path = out / "work" / f"first-{rows}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.load(base, mmap_mode="r")[:rows])
    return path


def _run(
    name: str, base: Path, queries: Path, recall: float, folder: Path, space: str | None
) -> dict[str, Any]:
    """Return what the two commands said; all but the first engine take M from the first one's sweep."""
    started = time.perf_counter()
    arguments = ["--target", name, "--recall", str(recall), "--queries", str(queries), "--out", str(folder)]
    if space is not None:
        arguments += ["--space", space]
    if (sweep := next(folder.parent.glob("*/sweep/report.json"), None)) is not None:
        arguments += ["--sweep", str(sweep)]
    code, said = _tune([*arguments, "--json", "--quiet", str(base)])
    found: dict[str, Any] = {"engine": name, "status": "failed", "tune_s": time.perf_counter() - started}
    if code not in (0, 1):
        return found | {"error": said.splitlines()[-1] if said else f"exit code {code}", "verify": {}}
    found |= json.loads((folder / "engine.json").read_text())
    config = folder / f"{name}{suffix(find_engine(name))}"
    verdict: dict[str, Any] = {}
    if config.exists() and find_engine(name).open is not None:
        found["config"] = config.read_text()
        code, said = _tune(
            ["verify", str(config), str(base), "--queries", str(queries), "--json", "--quiet"], out_only=True
        )
        verdict = json.loads(said) if code in (0, 1) else {"headline": f"exit code {code}"}
        verdict["exit_code"] = code
    return found | {"verify": verdict, "wall_s": time.perf_counter() - started}


def _tune(arguments: list[str], *, out_only: bool = False) -> tuple[int, str]:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", TUNE, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout if out_only else done.stderr.strip() or done.stdout


def _plain(base: Path, queries: Path, recall: float, folder: Path) -> Result:
    """Return the report of a sweep of everything, whose ceilings and curves predict any engine's settings."""
    report = folder / "report.json"
    if not report.exists():
        code, said = _tune(
            ["--recall", str(recall), "--queries", str(queries), "--out", str(folder), "--quiet", str(base)]
        )
        if code != 0:
            raise SystemExit(said)
    return result_from_json(report.read_bytes())


def table(found: dict[str, dict[str, Any]], base: Path, queries: Path, plain: Result) -> str:
    """Return all answers as Markdown."""
    machine, versions = describe_machine(), describe_versions()
    for answer in found.values():
        for point in [*answer.get("points", []), *([answer["chosen"]] if answer.get("chosen") else [])]:
            _predict(answer["engine"], point, plain)
    rows = [_row(answer) for answer in found.values()]
    codecs = [line for answer in found.values() for line in _codec_rows(answer)]
    recall = plain.options.recall
    return (
        f"# Every engine on {base.parent.name}/{base.name}, target {recall:g}\n\n"
        f"`python -m benchmarks.engines {base.name} {queries.name}`, {now()}, {machine['processor']}, "
        f"{machine['cores']} cores, faiss {versions['faiss']}. Predicted: the surface of one plain sweep for "
        "faiss's nearest codec at the same settings, bytes as faiss would take them. Measured: in the "
        "engine, on the "
        "queries that chose nothing; verified again: `tune verify` in a fresh process, with a newly built "
        "index. The last columns "
        "are the engine's own default at the same target over what was chosen, timed in turns.\n\n"
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


def _row(answer: dict[str, Any]) -> str:
    point, verdict, beside = answer.get("chosen"), answer.get("verify", {}), answer.get("beside")
    if point is None:
        return f"| {answer['engine']} | {answer.get('error') or answer['status']} | | | | | | | |\n"
    version = point["applied"]["version"]
    again = verdict.get("recall") or {}
    usual = ("", "")
    if beside:
        reached = beside["point"]["reaches_target"]
        missed = "" if reached else f" (lower bound {beside['point']['validated']['lower']:.3f})"
        usual = (f"{beside['memory_ratio']:.2f} x{missed}", f"{beside['latency_ratio']:.2f} x")
    return (
        f"| {version} | {_settings(point)} | {_share(point['predicted_recall'])} | "
        f"{_recall(point['validated'])} | {verdict.get('verdict', '-')}: {_recall(again)} | "
        f"{_mb(point['predicted_bytes'])} | {_mb(point['index_bytes'])} | {usual[0]} | {usual[1]} |\n"
    )


def _codec_rows(answer: dict[str, Any]) -> list[str]:
    can = find_engine(answer["engine"]).capabilities
    rows = []
    for point in answer.get("points", []):
        settings = point["settings"]
        codec = can.codec(settings["codec"])
        ahead, seen = point["predicted_recall"], point["validated"]["mean"]
        difference = "-" if ahead is None else f"{seen - ahead:+.4f}"
        scored = f", x{settings['oversampling']}" if settings["oversampling"] > 1 else ""
        rows.append(
            f"| {answer['engine']} | {settings['codec']} ({codec.nearest if codec else '-'}) | "
            f"{settings['M']}, {settings['ef_search']}{scored} | {_share(ahead)} | "
            f"{_recall(point['validated'])} | {difference} |\n"
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


if __name__ == "__main__":
    main()
