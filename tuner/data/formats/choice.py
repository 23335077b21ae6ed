"""Which matrix of a file that holds several is meant."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal, TypeAlias

from tuner.errors import InputError
from tuner.text import one_line

Role: TypeAlias = Literal["base", "queries"]
NAMES: dict[Role, tuple[str, ...]] = {
    "base": ("base", "train", "embeddings", "embedding", "vectors", "vector"),
    "queries": ("queries", "test"),
}
"""What vectors of a role are usually called beside others, the likeliest first."""
MOST_NAMED = 8


def chosen(
    shapes: Mapping[str, tuple[int, ...]], source: str, role: Role, column: str | None, kind: str
) -> str:
    """Return the name of the matrix that is meant: the one asked for, the only one, or one of a usual name.

    Example:
        >>> chosen({"train": (100, 8), "test": (10, 8), "seed": ()}, "x.npz", "queries", None, "array")
        'test'

    Args:
        shapes: shapes by name, those of no matrices among them.
        source: name of the file in messages.
        role: base or queries.
        column: name that the user gave, None without one.
        kind: what the file calls its parts.

    Raises:
        InputError: there is none, or it cannot be told which.
    """
    matrices = [name for name, shape in shapes.items() if len(shape) == 2]
    if column is not None and column in shapes:
        return column
    if column is not None and role == "base":
        near = get_close_matches(column, shapes, n=1) or list(shapes)[:MOST_NAMED]
        raise InputError(f"{source} has no {kind} {column!r}: {_named(near, shapes)}")
    if len(matrices) == 1:
        return matrices[0]
    usual = next((name for name in NAMES[role] if name in matrices), None)
    if usual is not None:
        return usual
    if not matrices:
        raise InputError(f"{source} holds no matrix (n, d): {_named(list(shapes)[:MOST_NAMED], shapes)}")
    raise InputError(
        f"{source} holds {len(matrices)} matrices: say which with --column: "
        f"{_named(matrices[:MOST_NAMED], shapes)}"
    )


def _named(names: list[str], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return names with their shapes."""
    if not names:
        return "it is empty"
    return "there is " + ", ".join(f"{one_line(name):.60} {_sides(shapes[name])}" for name in names)


def _sides(shape: tuple[int, ...]) -> str:
    """Return a shape in words; a side below 0 is not known yet."""
    return " x ".join("?" if side < 0 else f"{side:,}" for side in shape) or "number"
