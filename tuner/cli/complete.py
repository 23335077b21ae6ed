"""What a shell completes where click cannot know: files that are text to the parser, and names of engines."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from tuner.engines import engine_names


def complete_file(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete a file; it may be an address as well, so its type is text."""
    return [CompletionItem(incomplete, type="file")]


def complete_engine(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the engines that begin so."""
    return [CompletionItem(name) for name in engine_names() if name.startswith(incomplete)]
