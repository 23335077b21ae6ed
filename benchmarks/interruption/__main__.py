"""Does a run that is killed at random, or whose disk is full, go on to the same answer?

python -m benchmarks.interruption kills --seed 1 --kills 200 --out FOLDER
python -m benchmarks.interruption full-disk --out FOLDER
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from multiprocessing import Process
from pathlib import Path

import click
import msgspec
import numpy as np

from benchmarks.common import origin, write_lines
from benchmarks.interruption.answers import JOBS, Job
from benchmarks.interruption.full_disk import CONTROL, Disk, Full, FullDisks, compiled
from benchmarks.interruption.kills import Bench, Trial
from tuner.report.tables import table

HEAD = (
    "job",
    "runs",
    "kills",
    "at most in one run",
    "stages finished at the kill",
    "beside another",
    "wrong",
)
FULL_HEAD = ("job", "full at", "exit code 2", "exit code 0", "others", "wrong")
OUT = click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the table.")
NAMES = click.option("--jobs", default="", help="Names and commas, run first.  [default: all]")
ROWS = click.option("--rows", default=1_500, show_default=True, help="Number of vectors, drawn at random.")


def cells(name: str, trials: list[Trial]) -> tuple[str, ...]:
    """Return a row of the table: what came of one job."""
    stages = [each for trial in trials for each in trial.stages]
    return (
        name,
        str(len(trials)),
        str(len(stages)),
        str(max(len(trial.kills) for trial in trials)),
        f"{min(stages, default=0)} to {max(stages, default=0)}",
        str(sum(trial.together for trial in trials)),
        str(sum(bool(trial.wrong) for trial in trials)),
    )


def write_kills(trials: list[Trial], out: Path) -> None:
    """Write the table of all runs."""
    names = dict.fromkeys(trial.job for trial in trials)
    rows = [cells(name, [trial for trial in trials if trial.job == name]) for name in names]
    rows.append(cells("all", trials))
    damages = Counter(trial.damage for trial in trials if trial.damage and trial.kills)
    damage = ", ".join(f"{name} after {count} kills' runs" for name, count in sorted(damages.items()))
    write_lines([*table(HEAD, rows), "", f"Besides: {damage}.", "", origin()], out / "kills.md")


def named(names: str) -> tuple[Job, ...]:
    """Return the jobs of these names, all where there is none."""
    return tuple(job for job in JOBS if not names or job.name in names.split(","))


def write_full(found: list[Full], out: Path) -> None:
    """Write the table of all runs whose disk was full, and a line of each."""
    rows = []
    for name in dict.fromkeys(each.job for each in found):
        mine = [each for each in found if each.job == name]
        codes = Counter(each.code for each in mine)
        wrong = sum(bool(each.wrong) for each in mine)
        rows.append(
            (name, *map(str, (len(mine), codes[2], codes[0], len(mine) - codes[2] - codes[0], wrong)))
        )
    name = "full-disk-once" if found[0].once else "full-disk"
    write_lines([*table(FULL_HEAD, rows), "", origin()], out / f"{name}.md")
    write_lines((msgspec.json.encode(each).decode() for each in found), out / f"{name}.jsonl")


@click.group()
def main() -> None:
    """Interrupt small runs and compare their answers with those of undisturbed ones."""


@main.command()
@click.option("--seed", default=1, show_default=True, help="Random seed.")
@click.option("--kills", "n_kills", default=200, show_default=True, help="SIGKILLs, each before an end.")
@click.option("--at-once", default=1, show_default=True, help="Runs at once, each with a seed of its own.")
@NAMES
@ROWS
@OUT
def kills(seed: int, n_kills: int, at_once: int, jobs: str, rows: int, out: Path) -> None:
    """Kill runs with SIGKILL after a random share of their time, and go on; exit code 1 if one differs."""
    shares = [n_kills // at_once + (number < n_kills % at_once) for number in range(at_once)]
    files = [out / f"kills-{seed + number}.jsonl" for number in range(at_once)]
    processes = [
        Process(target=kill, args=(rows, seed + number, share, named(jobs), file))
        for number, (share, file) in enumerate(zip(shares, files, strict=True))
    ]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
    trials = [
        msgspec.json.decode(line, type=Trial) for file in files for line in file.read_bytes().splitlines()
    ]
    write_kills(trials, out)
    failed = any(each.exitcode for each in processes)
    sys.exit(failed or any(trial.wrong for trial in trials))


def kill(rows: int, seed: int, n_kills: int, jobs: tuple[Job, ...], file: Path) -> None:
    """Kill runs, and write a line of each."""
    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tune-kills-") as folder:
        bench = Bench(Path(folder), rows, seed, jobs)
        bench.prepare()
        for trial in bench.trials(n_kills):
            lines.append(msgspec.json.encode(trial).decode())
            click.echo(lines[-1], err=True)
            write_lines(lines, file)


@main.command("full-disk")
@click.option(
    "--writes", default=sys.maxsize, help="At most so many writes of each job, at random.  [default: all]"
)
@click.option("--once", is_flag=True, help="Have room again at the next write.")
@click.option("--jobs", default=",".join(job.name for job in JOBS), help="Names and commas.  [default: all]")
@click.option("--seed", default=1, show_default=True, help="Random seed of --writes.")
@ROWS
@OUT
def full_disk(writes: int, once: bool, jobs: str, seed: int, rows: int, out: Path) -> None:
    """Let each write of a run find the disk full, in turn, and go on; exit code 1 if one differs."""
    with tempfile.TemporaryDirectory(prefix="tune-full-") as folder:
        if CONTROL not in os.environ:
            sys.exit(begun_again(Path(folder)))
        disks, found = FullDisks(Path(folder), rows), list[Full]()
        for job in named(jobs):
            for each in disks.each(job, writes, np.random.default_rng(seed), once=once):
                found.append(each)
                click.echo(msgspec.json.encode(each).decode(), err=True)
                write_full(found, out)
    sys.exit(any(each.wrong for each in found))


def begun_again(folder: Path) -> int:
    """Run the same command with the library that lets writes fail; return its exit code."""
    Disk.make_control(folder / "control")
    own = {"LD_PRELOAD": str(compiled(folder)), CONTROL: str(folder / "control")}
    command = [sys.executable, "-m", "benchmarks.interruption", *sys.argv[1:]]
    return subprocess.run(command, env=os.environ | own, check=False).returncode  # noqa: S603 - ours


if __name__ == "__main__":
    main()
