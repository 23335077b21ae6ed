"""Every engine tuned and verified on one data set.

python -m benchmarks.engines BASE.npy QUERIES.npy --out FOLDER

Runs the two commands that a user would, ``tune --target ENGINE`` and ``tune verify``, each in a process of
its own, and puts what they printed side by side. An engine whose answer is there is not run again.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.common import FILE, run_tune
from benchmarks.engines.tables import table
from tuner.engines import engine_names, find_engine, missing_modules
from tuner.engines.export import suffix
from tuner.report import result_from_json
from tuner.runtime.journal import write_atomically
from tuner.types import Result


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the results.")
@click.option("--engines", "names", default="", help="Names and commas.  [default: all that run here]")
@click.option("--recall", default=0.95, show_default=True, help="Target recall@k.")
@click.option("--space", type=click.Path(exists=True), help="Codecs to try, as tune --space.  [default: all]")
@click.option("--rows", type=int, default=None, help="Rows of BASE, the first ones.  [default: all]")
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
    plain = _plain(base, queries, recall, out / "work" / "plain", space)
    found = {name: json.loads(path.read_text()) for name in chosen if (path := out / f"{name}.json").exists()}
    write_atomically(out / "table.md", table(found, base, plain).encode())
    click.echo(f"{out / 'table.md'}")


def _first_rows(base: Path, rows: int, out: Path) -> Path:
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
    done = run_tune([*arguments, "--json", "--quiet", str(base)])
    code, output = done.returncode, done.stderr.strip() or done.stdout
    found: dict[str, Any] = {"engine": name, "status": "failed", "tune_s": time.perf_counter() - started}
    if code not in (0, 1):
        return found | {"error": output.splitlines()[-1] if output else f"exit code {code}", "verify": {}}
    found |= json.loads((folder / "engine.json").read_text())
    config = folder / f"{name}{suffix(find_engine(name))}"
    verdict: dict[str, Any] = {}
    if config.exists() and find_engine(name).open is not None:
        found["config"] = config.read_text()
        done = run_tune(["verify", str(config), str(base), "--queries", str(queries), "--json", "--quiet"])
        code = done.returncode
        verdict = json.loads(done.stdout) if code in (0, 1) else {"headline": f"exit code {code}"}
        verdict["exit_code"] = code
    return found | {"verify": verdict, "wall_s": time.perf_counter() - started}


def _plain(base: Path, queries: Path, recall: float, folder: Path, space: str | None) -> Result:
    """Return the report of a sweep of the space, whose ceilings and curves predict any engine's settings."""
    report = folder / "report.json"
    if not report.exists():
        arguments = ["--recall", str(recall), "--queries", str(queries), "--out", str(folder), "--quiet"]
        arguments += [] if space is None else ["--space", space]
        done = run_tune([*arguments, str(base)])
        if done.returncode != 0:
            raise SystemExit(done.stderr.strip() or done.stdout)
    return result_from_json(report.read_bytes())


if __name__ == "__main__":
    main()
