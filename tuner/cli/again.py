"""The command that was given, written again with another option, so that it can be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from itertools import pairwise

import click
from click.core import ParameterSource

INDENT = 4
"""Spaces in front of a line that continues another."""


def words_again(context: click.Context, without: Collection[str], *more: str) -> list[str]:
    """Return the words of a command as it was given, without some of its parameters, and with more."""
    words = context.command_path.split()
    options = []
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or name in without:
            continue
        value = str(context.params[name])
        if isinstance(parameter, click.Argument):
            words.append(f"./{value}" if value.startswith("-") else value)
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            options.append(parameter.opts[-1])
        else:
            options += [parameter.opts[-1], value]
    return [*words, *options, *more]


def pasteable(words: list[str], width: int) -> str:
    r"""Return words as the line of a shell, continued where it would be wider; empty if no line can say them.

    >>> print(pasteable(["tune", "run", "my file.npy", "--k", "5"], 22))
    tune run \
        'my file.npy' \
        --k 5
    """
    if not all(word.isprintable() for word in words):
        return ""
    groups: list[str] = []
    for before, word in pairwise(["", *words]):
        if before.startswith("-") and not word.startswith("-"):  # an option and its value stay together
            groups[-1] += f" {shlex.quote(word)}"
        else:
            groups.append(shlex.quote(word))
    lines = [groups[0]]
    for group in groups[1:]:
        indent = INDENT if len(lines) > 1 else 0
        if indent + len(lines[-1]) + len(group) + 1 > width - len(" \\"):
            lines.append(group)
        else:
            lines[-1] += f" {group}"
    return f" \\\n{' ' * INDENT}".join(lines)
