"""JSON: rows of numbers or objects with a list of numbers each, in one document or a line each."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray

from tuner.data.formats.choice import Role, chosen
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.spool import BLOCK_BYTES, written
from tuner.data.formats.wanted import UnknownColumnError
from tuner.errors import InputError, ResourceError

SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
LINES = frozenset({".jsonl", ".ndjson"})
DTYPE = np.dtype(np.float32)
Row: TypeAlias = list[float]
ROWS = 4_096
"""Rows that are made a block."""
MEMORY_OVER_TEXT = 6
"""Bytes of memory for each byte of a document that is decoded: a number of ten digits takes 32."""
MOST_BLANK = 64
"""Bytes between the first line and the second."""
PLACE, BYTE = re.compile(r"`\$\[(\d+)\]"), re.compile(r"\(byte (\d+)\)")
NO_NUMBER = re.compile(rb"-?(NaN|Infinity)")
NOT_JSON = "is not JSON: write it again"
MARK = b"\xef\xbb\xbf"
"""What some programs write before UTF-8."""
BEGINS = re.compile(rb"(\xef\xbb\xbf)?\s*(\[\s*[\[{\-0-9]|\{\s*\")[^\x00]*", re.DOTALL)


def is_json(start: bytes) -> bool:
    """Return whether a file that starts so is a list or an object, whatever it is called.

    >>> is_json(b'[[0.5, 1]]'), is_json(b'[section]')
    (True, False)
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # which may end within a letter
    except UnicodeDecodeError:
        return False
    return BEGINS.fullmatch(start) is not None


def open_json(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return the vectors of a JSON text as float32.

    A document is a list of rows, a list of objects, or an object of lists; it is read as a whole. Lines are
    rows or objects, and are read in blocks.

    Args:
        role: what the vectors are, which tells lists of usual names apart.
        column: name of the list in each object; None for the only one.

    Raises:
        InputError: it is no such text, a row has other columns, or the list cannot be told.
        ResourceError: the document does not fit into memory.
    """
    try:
        with path.open("rb") as file:
            _rewind(file)
            if _is_lines(path, file):
                return _of_lines(file, source, role, column)
            size = path.stat().st_size
            if MEMORY_OVER_TEXT * size > psutil.virtual_memory().available:
                raise ResourceError(
                    f"{source} is one document of {size:,} bytes, which has to be read whole, and memory "
                    "is short: write a row a line (.jsonl), or save it with np.save"
                )
            _rewind(file)
            return _of_document(file.read(), source, role, column)
    except UnicodeDecodeError:
        raise InputError(f"{source} is no UTF-8 text: write it again") from None
    except (msgspec.DecodeError, RecursionError):
        raise InputError(f"{source} {NOT_JSON}") from None


def _rewind(file: IO[bytes]) -> None:
    """Go to the first byte of the text, behind a mark."""
    file.seek(0)
    if file.read(len(MARK)) != MARK:
        file.seek(0)


def _is_lines(path: Path, file: IO[bytes]) -> bool:
    """Return whether each line is a value of its own: by the name, or by the first line."""
    if path.suffix.lower() in LINES:
        return True
    first = file.readline(BLOCK_BYTES).strip()
    if not file.read(MOST_BLANK).lstrip().startswith((b"[", b"{")):
        return False
    try:
        msgspec.json.decode(first, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _of_lines(file: IO[bytes], source: str, role: Role, column: str | None) -> FlatFile:
    _rewind(file)
    first = next((line for line in file if line.strip()), b"")
    try:
        value = msgspec.json.decode(first)
    except msgspec.DecodeError as error:
        raise InputError(_about_row(source, 0, error, first)) from None
    _rewind(file)
    if isinstance(value, list):
        return written(source, len(value), DTYPE, _line_blocks(file, source, Row, len(value)))
    name, named, kind = _column_of(value, source, role, column)
    return written(named, len(value[name]), DTYPE, _line_blocks(file, named, kind, len(value[name])))


def _line_blocks(file: IO[bytes], named: str, kind: Any, d: int) -> Iterator[NDArray[Any]]:
    decoder, done = msgspec.json.Decoder(kind), 0
    while lines := file.readlines(BLOCK_BYTES):
        rows = []
        for line in lines:
            if line.strip():
                try:
                    rows.append(decoder.decode(line))
                except msgspec.DecodeError as error:
                    raise InputError(_about_row(named, done + len(rows), error, line)) from None
        if rows:
            yield _matrix([row if isinstance(row, list) else row.values for row in rows], named, d, done)
        done += len(rows)


def _of_document(data: bytes, source: str, role: Role, column: str | None) -> FlatFile:
    try:
        value = msgspec.json.decode(data, type=list[msgspec.Raw] | dict[str, msgspec.Raw])
    except msgspec.DecodeError as error:
        number = _no_number(error, data)
        what = f"holds {number}, and JSON has no such number: leave such rows out" if number else NOT_JSON
        raise InputError(f"{source} {what}") from None
    if isinstance(value, dict):
        lists = {name: each for name, each in value.items() if bytes(each).lstrip().startswith(b"[")}
        firsts = {name: _first(each) for name, each in lists.items()}
        shapes = {name: (-1, len(row)) if isinstance(row, list) else (-1,) for name, row in firsts.items()}
        name = chosen(shapes, source, role, column, "list")
        source = f"{source}[{name}]" if len(value) > 1 else source
        data = bytes(lists[name])
        value = msgspec.json.decode(data, type=list[msgspec.Raw])
    if not value:
        raise InputError(f"{source} has no rows: check what wrote it")
    first, kind = msgspec.json.decode(value[0]), Row
    del value
    if isinstance(first, dict):
        name, source, kind = _column_of(first, source, role, column)
        first = first[name]
    if not isinstance(first, list):
        raise InputError(f"{source} holds {_in_words(first)} where rows of numbers should be: give lists")
    try:
        found = msgspec.json.decode(data, type=list[kind])  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        place = PLACE.search(str(error))
        raise InputError(_about_row(source, int(place[1] or 0) if place else 0, error, b"")) from None
    rows: list[Row] = [row if isinstance(row, list) else row.values for row in found]
    blocks = (
        _matrix(rows[start : start + ROWS], source, len(first), start) for start in range(0, len(rows), ROWS)
    )
    return written(source, len(first), DTYPE, blocks, len(rows))


def _first(raw: msgspec.Raw) -> Any:
    rows = msgspec.json.decode(raw, type=list[msgspec.Raw])
    return msgspec.json.decode(rows[0]) if rows else None


def _column_of(value: Any, source: str, role: Role, column: str | None) -> tuple[str, str, type[Any]]:
    """Return which key of an object holds the vector, its name in messages, and a type that has only that."""
    if not isinstance(value, Mapping):
        raise InputError(f"{source} holds {_in_words(value)} where rows should be: give lists or objects")
    shapes = {name: (-1, len(each)) if _is_numbers(each) else () for name, each in value.items()}
    name = chosen(shapes, source, role, column, "key")
    if not isinstance(value[name], list):
        raise InputError(f"{source}: {name} is {_in_words(value[name])}, and vectors are lists of numbers")
    return name, f"{source}[{name}]" if len(value) > 1 else source, type_of_rows(source, name, Row)


def type_of_rows(source: str, name: str, kind: Any) -> type[Any]:
    """Return a type of objects of which nothing is read but ``values``, a key's.

    Raises:
        UnknownColumnError: the key has letters that cannot be looked for.
    """
    try:
        return msgspec.defstruct("Row", [("values", kind)], rename={"values": name})
    except ValueError:
        raise UnknownColumnError(
            f"{source}: the key {name!r} has quotes or control characters: rename it"
        ) from None


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], (int, float))


def _matrix(rows: Sequence[Row], named: str, d: int, done: int) -> NDArray[Any]:
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    wrong = np.flatnonzero(lengths != d)
    if len(wrong):
        raise InputError(
            f"{named}: row {done + wrong[0]} has {lengths[wrong[0]]} numbers, where the first has {d}: leave "
            "such rows out, or embed them again"
        )
    with np.errstate(over="ignore"):
        return np.array(rows, dtype=DTYPE).reshape(len(rows), d)


def _about_row(named: str, row: int, error: msgspec.DecodeError, text: bytes) -> str:
    """Return a sentence from what msgspec says of a row, whose text is given where it is a line."""
    number = _no_number(error, text)
    what = f"{number}, and JSON has no such number" if number else str(error).split(" - at ")[0]
    return f"{named}: row {row} is no vector ({what}): leave such rows out, or write them again"


def _no_number(error: msgspec.DecodeError, text: bytes) -> str:
    """Return the NaN or infinity for which a text is no JSON, empty where that is not why."""
    byte = BYTE.search(str(error))
    begin = max(0, int(byte[1]) - 1) if byte else len(text)
    found = NO_NUMBER.search(text, begin, begin + len(b"--Infinity"))
    return found[0].decode() if found else ""


def _in_words(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
