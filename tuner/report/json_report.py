"""``report.json``: the whole result, readable by machines, stable in its order, and readable back.

The schema is the dataclass `tuner.types.Result`; ``schema_version`` comes first. Measured floats keep six
significant digits, far more than any of them is known to; the user's options are kept as given.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from tuner.errors import InputError
from tuner.report.soundness import refuse_unsound
from tuner.types import SCHEMA_VERSION, Result

SIGNIFICANT_DIGITS = 6
DIGITS_OF_A_DOUBLE = 17
LINE_WIDTH = 110


def result_to_json(result: Result) -> bytes:
    """The result as pretty-printed JSON, ending in a newline.

    Raises:
        ValueError: a figure is NaN or infinite, which JSON cannot hold; the message says which.
    """
    tree: dict[str, Any] = msgspec.to_builtins(result, str_keys=True)
    version = tree.pop("schema_version")
    written = {"schema_version": version}
    for key, value in tree.items():
        written[key] = _finite(key, value, DIGITS_OF_A_DOUBLE if key == "options" else SIGNIFICANT_DIGITS)
    return (_pretty(written, "") + "\n").encode()


def versioned_json(schema_version: int, found: Mapping[str, Any]) -> bytes:
    """The JSON of any other job: ``schema_version`` first, ending in a newline."""
    return (
        msgspec.json.format(msgspec.json.encode({"schema_version": schema_version, **found}), indent=2)
        + b"\n"
    )


def result_from_json(data: bytes, source: str = "the report") -> Result:
    """The result that `result_to_json` wrote.

    Args:
        source: name of the file in messages.

    Raises:
        InputError: not JSON, no report of this program, or written by a newer version of it.
    """
    try:
        found = msgspec.json.decode(data)
    except RecursionError:
        raise InputError(f"{source}: is nested too deeply: give the report.json of a run") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{source}: is not valid JSON ({error}): give the report.json of a run") from error
    version = found.get("schema_version") if isinstance(found, dict) else None
    if not isinstance(version, int) or version < 1:
        raise InputError(f"{source}: has no schema_version: give the report.json that tune wrote")
    if version < SCHEMA_VERSION:
        raise InputError(
            f"{source}: was written by an older version, which chose on half of the queries: run tune again"
        )
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{source}: has schema {version} and this version reads up to {SCHEMA_VERSION}: "
            "update vector-index-tuner."
        )
    try:
        result = msgspec.json.decode(data, type=Result)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{source}: does not fit schema {version} ({error}): give the report.json as tune wrote it"
        ) from error
    refuse_unsound(result, source)
    return result


def _finite(where: str, value: Any, digits: int) -> Any:
    """The tree with every float checked and cut to so many significant digits."""
    if isinstance(value, dict):
        return {key: _finite(f"{where}.{key}", inner, digits) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(f"{where}[{i}]", inner, digits) for i, inner in enumerate(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value} and cannot be reported")
        return float(f"{value:.{digits}g}")
    return value


def _pretty(value: Any, indent: str) -> str:
    """JSON with what fits on a line, and every list of plain numbers, on one line."""
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not isinstance(value, (dict, list)) or not value or len(indent) + len(flat) <= LINE_WIDTH:
        return flat
    deeper = indent + "  "
    if isinstance(value, dict):
        inner = [
            f"{json.dumps(str(key), ensure_ascii=False)}: {_pretty(item, deeper)}"
            for key, item in value.items()
        ]
        opening, closing = "{", "}"
    elif all(isinstance(item, (int, float)) for item in value):
        return flat
    else:
        inner = [_pretty(item, deeper) for item in value]
        opening, closing = "[", "]"
    body = ",\n".join(f"{deeper}{item}" for item in inner)
    return f"{opening}\n{body}\n{indent}{closing}"
