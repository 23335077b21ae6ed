"""Keywords that type checkers know, and one sentence at run time for a wrong name or type."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar, get_args, get_origin

import msgspec
import numpy as np

from tuner.errors import InputError
from tuner.space import nearest
from tuner.types import Duplicates, Preference, StoreAt

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack

__all__ = ["QueryOptions", "TuneOptions", "Unpack", "checked_call"]

P = ParamSpec("P")
R = TypeVar("R")
KINDS: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    types.NoneType: "None",
}
"""Types whose values are checked, in words."""


class QueryOptions(TypedDict, total=False):
    """Keywords that say how recall is measured: fields of ``tuner.Options`` that every job has."""

    k: int
    metric: Literal["auto", "cosine", "ip", "l2"]
    confidence: float
    seed: int
    threads: int
    n_queries: int | None


class TuneOptions(QueryOptions, total=False):
    """Keywords of ``tuner.tune``: the fields of ``tuner.Options``."""

    other_ks: tuple[int, ...]
    other_recalls: tuple[float, ...]
    max_memory_bytes: int | None
    max_memory_per_vector: float | None
    max_latency_s: float | None
    prefer: Preference
    time_budget_s: float | None
    run_memory_bytes: int | None
    rerank_store: StoreAt
    duplicates: Duplicates
    baseline: Literal["graph", "hnswlib"]
    exhaustive: bool
    native: tuple[str, ...]
    selectivity: tuple[float, ...]


def checked_call(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with its arguments checked before it is called.

    Numbers of numpy become Python's; values of other than plain types are left to the function.

    Raises:
        InputError: an argument is missing, has an unknown name or a value of a wrong type.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        hints = _hints(function)
        unknown = next((name for name in kwargs if name not in hints), None)
        if unknown is not None:
            raise InputError(f"{function.__name__}() has no {unknown!r}: {nearest(unknown, tuple(hints))}")
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(
                f"{function.__name__}() cannot be called like this ({error}): see "
                f"help(tuner.{function.__name__})"
            ) from None
        for arguments in (bound.arguments, bound.kwargs):
            for name in arguments.keys() & hints.keys():
                value = _checked(name, arguments[name], hints[name])
                if name in bound.arguments:
                    bound.arguments[name] = value
                else:
                    bound.arguments["options"][name] = value
        return function(*bound.args, **bound.kwargs)

    return call


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the type of every argument that a function can be given by name."""
    hints = typing.get_type_hints(function)
    hints.pop("return")
    options = hints.pop("options", None)
    return hints if options is None else hints | typing.get_type_hints(options.__args__[0])


def _checked(name: str, value: Any, hint: Any) -> Any:
    if not _is_plain(hint):
        return value
    given = value.item() if isinstance(value, np.generic) else value
    try:
        return msgspec.convert(given, hint)
    except msgspec.ValidationError:
        them = " of them" if "one of" in _in_words(hint) else ""
        raise InputError(f"{name} is {value!r}, but it is {_in_words(hint)}: give one{them}") from None


def _is_plain(hint: Any) -> bool:
    if get_origin(hint) is Literal or hint in KINDS or hint is Ellipsis:
        return True
    return get_origin(hint) in (typing.Union, types.UnionType, tuple) and all(map(_is_plain, get_args(hint)))


def _in_words(hint: Any) -> str:
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if get_origin(hint) is tuple:
        return "a tuple of names"
    return " or ".join(map(_in_words, inner)) if inner else KINDS[hint]
