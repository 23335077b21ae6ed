"""How much of a run is Python of our own? py-spy looks at every thread of ``tune`` many times a second.

    python -m benchmarks.sweep.python_share BASE.npy QUERIES.npy --out reports/python-share/NAME.md

Needs py-spy, which belongs to no extra: ``pip install py-spy``. A sample belongs to the innermost frame of a
thread. Native frames are seen too, so that time in faiss or numpy does not count for the line that called it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from benchmarks.common import FILE, ROOT, origin, tune_command, write_lines
from tuner.report.tables import table

RATE_HZ = 200
ALLOWED = 0.05
"""Largest share of the samples that may be Python of our own, the interpreter included."""
OURS, INTERPRETER, WAITING = "a line of tuner/", "the interpreter", "a thread of OpenMP or BLAS that waits"
OTHER_PYTHON, NATIVE = "Python of other packages", "native code: faiss, hnswlib, numpy, BLAS, the kernel"
KINDS = (OURS, INTERPRETER, OTHER_PYTHON, WAITING, NATIVE)
FRAME = re.compile(r"^(?P<function>.*) \((?P<place>[^()]*)\)$")
WAITS = re.compile(r"libgomp|libomp|libiomp|blas_thread_server|sched_yield|pthread_cond_wait|futex")


def kind_of(stack: str) -> str:
    """Return what the innermost frame of a stack belongs to, as one of ``KINDS``.

    >>> kind_of("main (tuner/cli/main.py:3);search (faiss/swigfaiss.py:9);HNSW::search (libfaiss.so)")
    'native code: faiss, hnswlib, numpy, BLAS, the kernel'
    >>> kind_of("main (tuner/cli/main.py:3);scan (tuner/data/profile.py:40)")
    'a line of tuner/'

    Args:
        stack: frames as py-spy writes them, outermost first, separated by semicolons.
    """
    innermost = stack.rsplit(";", 1)[-1]
    found = FRAME.match(innermost)
    place = found["place"] if found else ""
    if re.search(r":\d+$", place):
        return OURS if re.search(r"(^|/)tuner/", place) else OTHER_PYTHON
    if re.match(r"(lib)?python3", place.rsplit("/", 1)[-1]):
        return INTERPRETER
    return WAITING if WAITS.search(innermost) else NATIVE


def counted(lines: Iterable[str]) -> Counter[str]:
    """Return the number of samples of each kind from py-spy's raw output, a stack and its count a line."""
    counts: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        if stack:
            counts[kind_of(stack)] += int(count)
    return counts


def report(counts: Counter[str], rate: int = RATE_HZ) -> Iterator[str]:
    """Yield the report: the share of each kind, and whether our own is within what is allowed."""
    total = max(1, counts.total())
    own = (counts[OURS] + counts[INTERPRETER]) / total
    verdict = "within" if own <= ALLOWED else "above"
    yield f"# Python of our own: {own:.1%} of the samples, {verdict} the {ALLOWED:.0%} that are allowed"
    yield ""
    yield from table(
        ("innermost frame", "samples", "share"),
        ((kind, f"{counts[kind]:,}", f"{counts[kind] / total:.1%}") for kind in KINDS),
    )
    yield ""
    awake = max(1, counts.total() - counts[WAITING])
    yield f"- without the threads that wait it is {(counts[OURS] + counts[INTERPRETER]) / awake:.1%}"
    yield (
        f"- {counts.total():,} samples of every thread, {rate} a second, imports included, by "
        "`py-spy record --native`"
    )


def sampled(arguments: list[str], rate: int) -> Counter[str]:
    """Return the samples of one run of ``tune``."""
    installed = Path(sys.executable).with_name("py-spy")
    spy = str(installed) if installed.exists() else shutil.which("py-spy")
    if spy is None:
        raise click.UsageError("py-spy is not installed: pip install py-spy")
    with tempfile.TemporaryDirectory(prefix="python-share-") as folder:
        raw = Path(folder) / "samples.txt"
        command = [spy, "record", "--native", "--rate", str(rate), "--format", "raw", "--output", str(raw)]
        run = tune_command([*arguments, "--quiet", "--out", str(Path(folder) / "run")])
        done = subprocess.run([*command, "--", *run], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        if done.returncode != 0 or not raw.exists():
            raise click.UsageError(f"py-spy ended with status {done.returncode}: {done.stderr.strip()}")
        return counted(raw.read_text(encoding="utf-8").splitlines())


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--recall", default=0.95, show_default=True, help="Target recall@k.")
@click.option("--rate", default=RATE_HZ, show_default=True, help="Samples a second; fewer on a busy machine.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Markdown file of the shares.")
def main(base: Path, queries: Path, recall: float, rate: int, out: Path) -> None:
    """Sample a whole run of tune on BASE with QUERIES, and say how much of it is Python of our own."""
    words = ["--recall", str(recall), "--queries", str(queries.resolve()), str(base.resolve())]
    lines = [*report(sampled(words, rate), rate), f"- {origin()}"]
    write_lines(lines, out)
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
