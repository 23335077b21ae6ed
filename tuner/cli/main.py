"""The command ``tune``: jobs by name, the sweep when none is named, one sentence for every mistake."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

# imported here, so that what `tune --version` takes is what every run takes before it reads data
import hnswlib  # noqa: F401
import scipy  # noqa: F401
from click.shell_completion import CompletionItem

from tuner.cli.baseline import baseline
from tuner.cli.build import build
from tuner.cli.cache import cache
from tuner.cli.check import check_command
from tuner.cli.compare import compare
from tuner.cli.diagnose import diagnose_command
from tuner.cli.doctor import doctor
from tuner.cli.engines import engines
from tuner.cli.export import export
from tuner.cli.outputs import say
from tuner.cli.plot import plot
from tuner.cli.run import run
from tuner.cli.show import show
from tuner.cli.stop import Stopping, stoppable
from tuner.cli.verify import verify_command
from tuner.errors import TunerError
from tuner.runtime.machine import describe_versions

BAD_INPUT, CLOSED_PIPE = 2, 141
NUMPY_CUT_SHORT = "requested and"
"""In what numpy says, without a number, when a file took only a part of an array."""
NO_MEMORY = ("bad_alloc", "Not enough memory", "Cannot allocate memory", "can't start new thread")
"""In what faiss (in its threads it is no MemoryError), hnswlib, the system and Python say of memory."""
OS_LIMITS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""What a disk or a permission does to a run; other OSErrors are defects and keep their traceback."""


class Jobs(click.Group):
    """A group whose command ``run`` need not be named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``run`` in front of arguments that name no job and ask nothing of the group."""
        own = {name for option in self.get_params(ctx) for name in option.opts}
        if args and args[0] not in self.commands and args[0] not in own:
            self._refuse_misspelled(ctx, args[0])
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def _refuse_misspelled(self, ctx: click.Context, word: str) -> None:
        """Raise UsageError for a word that is no file and nearly the name of a job."""
        near = get_close_matches(word, self.commands, n=1)
        if near and not Path(word).exists():
            raise click.UsageError(f"{word!r} is no file, and the nearest command is {near[0]!r}", ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the jobs that begin so, and what ``run`` takes, which need not be named."""
        return super().shell_complete(ctx, incomplete) + (
            self.commands["run"].shell_complete(ctx, incomplete)
            if incomplete.startswith("-")
            else [CompletionItem(incomplete, type="file")]
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Do the job; a reader that closed our output ends it quietly."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
            ctx.exit(CLOSED_PIPE)
        return code


def _show_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        found = describe_versions()
        parts = [f"{name} {found[name]}" for name in ("faiss", "hnswlib", "numpy", "scipy")]
        click.echo(f"tune {found['tuner']} ({', '.join(parts)}, Python {found['python']})")
        ctx.exit()


@click.group(cls=Jobs, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, callback=_show_version, expose_value=False,
              help="Show the versions that figures depend on and exit.")  # fmt: skip
@click.pass_context
def tune(ctx: click.Context) -> int:
    """Find HNSW parameters and a quantizer for your own vectors.

    `tune --recall 0.95 embeddings.npy` is short for `tune run --recall 0.95 embeddings.npy`.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    return 0


for _job in (
    *(run, baseline, build, cache, check_command, compare, diagnose_command, doctor, engines, export),
    *(plot, show, verify_command),
):
    tune.add_command(_job)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    The exit code is 0 if it is done, 1 for the honest no, 2 for bad input or a defect, 130 and 143 if it was
    stopped by Ctrl-C and by SIGTERM.
    """
    with stoppable() as stopping:
        try:
            code = _exit_code(argv, stopping)
        except KeyboardInterrupt:  # before the job began or after its end
            stopping.say()
            code = stopping.code
        except Exception:  # noqa: BLE001 - a defect must not look like the honest no, whose code Python gives it
            traceback.print_exc()
            code = BAD_INPUT
    sys.exit(code)


def _exit_code(argv: Sequence[str] | None, stopping: Stopping) -> int:
    try:
        code: int = tune.main(args=argv, prog_name="tune", standalone_mode=False, obj=stopping)
        return code
    except TunerError as error:
        return _fail(str(error))
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        asked = context.command_path if context is not None else "tune run"
        return _fail(f"{error.format_message().rstrip('.')}; see {asked} --help")
    except click.Abort:
        stopping.say()
        return stopping.code
    except (OSError, MemoryError, RuntimeError) as error:
        sentence = _limit_reached(error)
        if not sentence:
            raise
        return _fail(sentence)


def _limit_reached(error: OSError | MemoryError | RuntimeError) -> str:
    """Return what ran out, and what to do; empty if the error is a defect."""
    message = str(error)
    if isinstance(error, OSError) and error.errno is None and NUMPY_CUT_SHORT in message:
        return f"a scratch file was cut short ({message}): make room, or set TMPDIR to another place"
    if isinstance(error, OSError) and error.errno in OS_LIMITS:
        return f"{error.filename or 'a file'}: {error.strerror}: make room there, or choose another place"
    if isinstance(error, MemoryError) or any(words in message for words in NO_MEMORY):
        asked = f" ({message})" if message else ""
        return f"memory ran out{asked}: free some, raise its limit (ulimit -v), or give fewer vectors"
    return ""


def _fail(sentence: str) -> int:
    say(f"tune: {sentence}", err=True)
    return BAD_INPUT
