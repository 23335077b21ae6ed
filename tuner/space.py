"""What to sweep: the default space, presets, and spaces read from YAML with every name checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import yaml

from tuner.errors import InputError
from tuner.types import Space

NAMED_CODECS = (
    *("fp32", "fp16", "bf16", "SQ8", "SQ6", "SQ4"),
    *(f"tqmse{bits}" for bits in (1, 2, 3, 4, 8)),
    *(f"RaBitQ{bits}" for bits in range(1, 10)),
)
PRODUCT_CODEC = re.compile(r"O?PQ(d/)?[1-9][0-9]*x[48]")
"""``PQ16x8`` has 16 parts of 8 bits; ``PQd/4x8`` has one part for each 4 dimensions; OPQ rotates first."""
PRODUCT_EXAMPLES = ("PQd/4x8", "PQd/8x8", "PQd/2x4", "OPQd/4x8", "OPQd/2x4", "PQ16x8", "PQ32x8", "PQ64x8")
RERANK_STORES = ("fp32", "fp16", "SQ8")
CUT_KINDS = ("pca", "truncate")
KEYS = tuple(field.name for field in fields(Space))
PRESETS = Path(__file__).parent / "presets"
USUAL_M, USUAL_EF_CONSTRUCTION = 16, 200
"""The index that most people have today, in float32."""


def default_space() -> Space:
    """Return the space that is swept when none is named."""
    return Space()


def usual_m(space: Space) -> int:
    """Return the M of a space that is nearest to the usual one.

    >>> usual_m(default_space())
    16
    """
    return min(space.M, key=lambda M: (abs(M - USUAL_M), M))


def preset_names() -> tuple[str, ...]:
    """Return the names that ``load_space`` takes instead of a file.

    >>> preset_names()
    ('default', 'low-memory', 'oracle', 'quick')
    """
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def load_space(source: str | Path) -> Space:
    """Return the space of a preset or a YAML file; keys that are not in it are those of ``default_space``.

    >>> load_space("quick").M
    (8, 16, 32)

    Args:
        source: Name of a preset, or path of a YAML file.

    Raises:
        InputError: the file cannot be read, or a key or value in it is not one of a space.
    """
    path = PRESETS / f"{source}.yaml" if str(source) in preset_names() else Path(source)
    found = _read_mapping(path)
    chosen: dict[str, Any] = {}
    for key, value in found.items():
        if key not in KEYS:
            raise InputError(f"{path}: unknown key {key!r}: {nearest(str(key), KEYS)}")
        try:
            chosen[key] = READERS[key](value)
        except ValueError as error:
            raise InputError(f"{path}: {key}: {error}") from None
    return replace(default_space(), **{"name": path.stem, **chosen})


def checked_space(space: Space) -> Space:
    """Return a space that was made in Python, its values checked and sorted as those of a file are.

    Raises:
        InputError: a value is not one of a space.
    """
    chosen: dict[str, Any] = {}
    for key in KEYS:
        value = getattr(space, key)
        try:
            chosen[key] = READERS[key](list(value) if isinstance(value, tuple) else value)
        except ValueError as error:
            raise InputError(f"the space's {key}: {error}") from None
    return Space(**chosen)


def is_codec(name: str) -> bool:
    """Return whether ``name`` is in the grammar of codecs; whether it fits d is known only with the data."""
    return name in NAMED_CODECS or PRODUCT_CODEC.fullmatch(name) is not None


class PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them stand for more values than memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node; refuse one that stands for another."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases (*), write out what they stand for")
        return super().compose_node(parent, index)


def load_yaml(text: str) -> Any:
    """Return what a YAML text holds.

    Raises:
        yaml.YAMLError: it is none, or has aliases.
        ValueError: it holds a date that does not exist.
        RecursionError: it is nested too deeply.
    """
    return yaml.load(text, Loader=PlainLoader)  # noqa: S506 - it is a SafeLoader


def _read_mapping(path: Path) -> dict[Any, Any]:
    try:
        text = path.read_bytes().decode("utf-8")
        found = load_yaml(text)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}): name a YAML file, or one of "
            f"{', '.join(preset_names())}"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text: save it as UTF-8") from None
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply: write lines such as M: [8, 16]") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        alias = str(error) if type(error) is yaml.YAMLError else ""
        problem = getattr(error, "problem", None) or alias or "a value that YAML does not allow"
        raise InputError(f"{path}: is not valid YAML{where} ({problem}): correct it") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds a {type(found).__name__}, not keys: write lines such as M: [8, 16]")
    return found


def nearest(name: str, known: tuple[str, ...]) -> str:
    """Return in words which known name a wrong one is nearest to, or all of them."""
    lowered = {candidate.lower(): candidate for candidate in reversed(known)}
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return f"the nearest is {lowered[near[0]]!r}" if near else f"valid are {', '.join(known)}"


def _integer(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{value!r} is not a whole number: give one from {low} to {high}")
    if not low <= int(value) <= high:
        raise ValueError(f"{value} is out of range: give one from {low} to {high}")
    return int(value)


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{value!r} is not a number: give a share of the dimensions such as 0.5")
    if not 0 < float(value) <= 1:
        raise ValueError(f"{value!r} is out of range: give a share of the dimensions in (0, 1]")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a name: give text")
    return value


def _one_of(value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"unknown {value!r}: {nearest(str(value), known)}")
    return str(value)


def _codec(value: Any) -> str:
    if not isinstance(value, str) or not is_codec(value):
        raise ValueError(f"unknown codec {value!r}: {nearest(str(value), NAMED_CODECS + PRODUCT_EXAMPLES)}")
    return value


def _several(value: Any, read: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Return a list's items, each read; not empty and without repeats."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list: write [{value}]")
    if not value:
        raise ValueError(
            "the list is empty: give at least one value (rerank_factors: [1] is no re-ranking), "
            "or leave the key out for its default"
        )
    items = tuple(read(item) for item in value)
    for item in items:
        if items.count(item) > 1:
            raise ValueError(f"{item!r} is listed twice: leave one out")
    return items


READERS: dict[str, Callable[[Any], Any]] = {
    "name": _text,
    "M": lambda value: tuple(sorted(_several(value, lambda item: _integer(item, 2, 128)))),
    "ef_construction": lambda value: _integer(value, 8, 10_000),
    "codecs": lambda value: _several(value, _codec),
    "cuts": lambda value: _several(value, _share),
    "cut_kinds": lambda value: _several(value, lambda item: _one_of(item, CUT_KINDS)),
    "rerank_stores": lambda value: _several(value, lambda item: _one_of(item, RERANK_STORES)),
    "rerank_factors": lambda value: tuple(sorted(_several(value, lambda item: _integer(item, 1, 1_000)))),
    "ef_search_max": lambda value: _integer(value, 8, 1_000_000),
    "graph_M": lambda value: None if value is None else _integer(value, 2, 128),
}
