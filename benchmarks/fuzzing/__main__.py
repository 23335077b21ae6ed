"""Does any damage to a file end in a traceback, a crash, a hang or a lot of memory? (pip install '.[fuzz]').

python -m benchmarks.fuzzing READER ... --minutes 10 --out FOLDER
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import click
import msgspec

from benchmarks.common import ROOT, origin, write_json, write_lines
from benchmarks.fuzzing.readers import READERS
from benchmarks.fuzzing.seeds import write_seeds
from tuner.report.tables import table

LONGEST_BYTES, HANG_S, MOST_MIB = 8192, 20, 3000
"""Largest input; what libFuzzer itself ends: seconds of one input, MiB of the process."""
MOST_STARTS = 50
"""Crashes after which a reader is given up."""
PROGRESS = re.compile(r"#(\d+)\s.*?cov: (\d+) ft: (\d+)")
HEAD = ("reader", "minutes", "CPU s", "files read", "branches", "seeds", "crashes", "findings")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one reader.

    Attributes:
        reader: its name.
        minutes: wall time, in minutes.
        cpu_s: CPU seconds of all processes.
        n_runs: files that were read.
        n_branches: branches of the code that were seen, as libFuzzer counts them.
        n_seeds: files to begin with.
        n_crashes: times that the process was ended by a file.
        findings: what was found, one of each kind.
    """

    reader: str
    minutes: float
    cpu_s: float
    n_runs: int
    n_branches: int
    n_seeds: int
    n_crashes: int
    findings: list[str]


def fuzz(reader: str, seconds: float, folder: Path) -> Row:
    """Fuzz one reader; return what came of it. Inputs, findings and libFuzzer's words stay in ``folder``."""
    kept, corpus, seeds = (folder / name for name in ("found", "corpus", "seeds"))
    for each in (kept, corpus):
        each.mkdir(parents=True, exist_ok=True)
    n_seeds = write_seeds(reader, seeds)
    began, cpu, n_runs, n_branches, n_crashes = time.monotonic(), _children_s(), 0, 0, 0
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        while (left := seconds - (time.monotonic() - began)) >= 1 and n_crashes < MOST_STARTS:
            start = log.tell()
            limits = [
                f"-max_total_time={int(left)}",
                f"-max_len={LONGEST_BYTES}",
                f"-timeout={HANG_S}",
                f"-rss_limit_mb={MOST_MIB}",
                f"-artifact_prefix={kept}/",
            ]
            command = [sys.executable, "-m", "benchmarks.fuzzing.one", reader, str(kept), *limits]
            done = subprocess.run(  # noqa: S603 - ours
                [*command, str(corpus), str(seeds)], cwd=ROOT, stdout=log, stderr=log, check=False
            )
            words = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")[start:]
            seen = PROGRESS.findall(words)
            n_runs += max((int(runs) for runs, _, _ in seen), default=0)
            n_branches = max([n_branches, *(int(cov) for _, cov, _ in seen)])
            n_crashes += done.returncode != 0
            log.seek(0, 2)
    reasons = [path.read_text(encoding="utf-8").strip() for path in sorted(kept.glob("*.why"))]
    artifacts = [path.name for path in sorted(kept.iterdir()) if "-" in path.name]
    return Row(
        reader=reader,
        minutes=(time.monotonic() - began) / 60,
        cpu_s=_children_s() - cpu,
        n_runs=n_runs,
        n_branches=n_branches,
        n_seeds=n_seeds,
        n_crashes=n_crashes,
        findings=reasons + artifacts,
    )


def _children_s() -> float:
    """Return CPU seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table in Markdown."""
    counts = (row.n_runs, row.n_branches, row.n_seeds, row.n_crashes)
    return (
        row.reader,
        f"{row.minutes:.1f}",
        f"{row.cpu_s:.0f}",
        *(f"{count:,}" for count in counts),
        "; ".join(row.findings),
    )


def write_table(out: Path) -> None:
    """Write a table of all readers of which ``out`` holds an answer."""
    rows = [msgspec.json.decode(path.read_bytes(), type=Row) for path in sorted(out.glob("*/row.json"))]
    write_lines([*table(HEAD, map(cells, rows)), "", origin()], out / "fuzzing.md")


@click.command()
@click.argument("readers", nargs=-1, required=True, type=click.Choice(["all", *READERS]))
@click.option("--minutes", default=10.0, show_default=True, help="Wall time of each reader.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of inputs, findings and the table; what lies there is gone on from.",
)
def main(readers: tuple[str, ...], minutes: float, out: Path) -> None:
    """Fuzz READERS, one after the other; exit code 1 if there are findings."""
    n_found = 0
    for reader in READERS if "all" in readers else readers:
        row = fuzz(reader, minutes * 60, (out / reader).resolve())
        write_json(row, out / reader / "row.json")
        write_table(out)
        click.echo(" | ".join(cells(row)), err=True)
        n_found += len(row.findings)
    sys.exit(1 if n_found else 0)


if __name__ == "__main__":
    main()
