"""The tensors that a torch file's pickle lists: its instructions are read, and nothing is unpickled."""

from __future__ import annotations

import pickletools
import re
import struct
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple, TypeAlias

TENSOR, ORDERED = ("torch._utils", "_rebuild_tensor_v2"), ("collections", "OrderedDict")
STORAGE = re.compile(r"[A-Za-z0-9]+Storage")
MOST = 2**63 - 1
DEEPEST, MOST_NAMES = 16, 100_000
"""Dictionaries in one another, and names in all of them, above which a file is no list of tensors."""
DAMAGE = (IndexError, KeyError, TypeError, ValueError, struct.error)


class ForeignError(Exception):
    """A pickle holds something that is neither a tensor nor a plain value."""


class Global(NamedTuple):
    """The name of a function or class, which is not imported."""

    module: str
    name: str


class Storage(NamedTuple):
    """Values that lie in a file of the archive.

    Attributes:
        kind: torch's name of their type, such as ``FloatStorage``.
        key: name of the file.
        n: number of values.
    """

    kind: str
    key: str
    n: int


class Tensor(NamedTuple):
    """Where a tensor lies in its storage.

    Attributes:
        storage: storage that it is a part of.
        offset: values before its first.
        shape: sides.
        stride: values from one to the next along each side.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Marker:
    """The place on the stack where a list of arguments begins."""


class Reader:
    """What the instructions have made so far.

    Attributes:
        stack: values that wait to be used.
        memo: values that come again.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def popped(self, count: int) -> list[Any]:
        """Take the last values off the stack, which has as many."""
        if len(self.stack) < count:
            raise IndexError
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def to_marker(self) -> list[Any]:
        """Take what was put on the stack behind the last marker, and the marker."""
        values = []
        while not isinstance(value := self.stack.pop(), Marker):
            values.append(value)
        return values[::-1]

    def remember(self, place: int | None) -> None:
        """Keep the last value, in the next place where none is given."""
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def extend(self, values: list[Any]) -> None:
        """Put values at the end of the list on the stack."""
        if not isinstance(self.stack[-1], list):
            raise TypeError
        self.stack[-1].extend(values)

    def update(self, pairs: list[Any]) -> None:
        """Put keys and values into the dictionary on the stack."""
        keys, target = pairs[::2], self.stack[-1]
        # a key of nested tuples would be hashed for ever
        if not isinstance(target, dict) or not all(isinstance(key, str | int) for key in keys):
            raise TypeError
        target.update(zip(keys, pairs[1::2], strict=True))

    def set_state(self) -> None:
        """Leave out what a dictionary has besides its items: the versions of a model's parts."""
        self.popped(1)
        if not isinstance(self.stack[-1], dict):
            raise ForeignError("an object with a state of its own")

    def call(self) -> None:
        """Put what a function of the two that are known would return on the stack."""
        function, arguments = self.popped(2)
        if function == Global(*ORDERED) and arguments == ():
            self.push({})
        elif function == Global(*TENSOR):
            if any(arguments[6:]):
                raise ForeignError("a tensor whose values are not as they are stored")
            self.push(_tensor(*arguments[:4]))
        else:
            raise ForeignError("a call of what is no tensor")


Step: TypeAlias = Callable[[Reader, Any], None]


def _known(module: Any, name: Any) -> Global:
    """Return a name that a tensor is made with.

    Raises:
        ForeignError: it is another.
    """
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError
    found = Global(module, name)
    if found in (TENSOR, ORDERED) or (module == "torch" and STORAGE.fullmatch(name)):
        return found
    raise ForeignError(repr(f"{module}.{name}"[:80]))


def _storage(of_torch: Any) -> Storage:
    """Return the storage that a persistent id of torch stands for."""
    mark, kind, key, _, n = of_torch
    if mark != "storage" or not isinstance(kind, Global) or not isinstance(key, str):
        raise TypeError
    return Storage(kind.name, key, _counts((n,))[0])


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any) -> Tensor:
    if not isinstance(storage, Storage) or len(shape) != len(stride):
        raise TypeError
    return Tensor(storage, _counts((offset,))[0], _counts(shape), _counts(stride))


def _counts(values: Any) -> tuple[int, ...]:
    """Return whole numbers from 0 up, as an array's sides are."""
    if not isinstance(values, tuple) or not all(type(each) is int and 0 <= each <= MOST for each in values):
        raise TypeError
    return values


STEPS: dict[str, Step] = {
    "PROTO": lambda reader, version: None,
    "FRAME": lambda reader, size: None,
    "STOP": lambda reader, nothing: None,
    "NONE": lambda reader, nothing: reader.push(None),
    "NEWTRUE": lambda reader, nothing: reader.push(True),
    "NEWFALSE": lambda reader, nothing: reader.push(False),
    "EMPTY_TUPLE": lambda reader, nothing: reader.push(()),
    "EMPTY_LIST": lambda reader, nothing: reader.push([]),
    "EMPTY_DICT": lambda reader, nothing: reader.push({}),
    "MARK": lambda reader, nothing: reader.push(Marker()),
    "TUPLE": lambda reader, nothing: reader.push(tuple(reader.to_marker())),
    "TUPLE1": lambda reader, nothing: reader.push(tuple(reader.popped(1))),
    "TUPLE2": lambda reader, nothing: reader.push(tuple(reader.popped(2))),
    "TUPLE3": lambda reader, nothing: reader.push(tuple(reader.popped(3))),
    "APPEND": lambda reader, nothing: reader.extend(reader.popped(1)),
    "APPENDS": lambda reader, nothing: reader.extend(reader.to_marker()),
    "SETITEM": lambda reader, nothing: reader.update(reader.popped(2)),
    "SETITEMS": lambda reader, nothing: reader.update(reader.to_marker()),
    "MEMOIZE": lambda reader, nothing: reader.remember(None),
    "GLOBAL": lambda reader, name: reader.push(_known(*name.split(" ", 1))),
    "STACK_GLOBAL": lambda reader, nothing: reader.push(_known(*reader.popped(2))),
    "BINPERSID": lambda reader, nothing: reader.push(_storage(reader.popped(1)[0])),
    "REDUCE": lambda reader, nothing: reader.call(),
    "BUILD": lambda reader, nothing: reader.set_state(),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"), Reader.push
    ),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), Reader.remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda reader, place: reader.push(reader.memo[place])),
}
"""What an instruction does, by its name; what stands nowhere here is refused."""


def tensors_of(pickled: bytes) -> dict[str, Tensor | None]:
    """Return the tensors of a pickle by name, and None for what else has a name beside them.

    A tensor that stands alone is called ``tensor``, those of a list have their numbers, and those of a
    dictionary in a dictionary have both names, as in ``state_dict.embedding.weight``.

    Raises:
        ForeignError: it holds something else, with what that is.
        IndexError, KeyError, TypeError, ValueError, struct.error: it is damaged.
    """
    reader = Reader()
    for instruction, value, _ in pickletools.genops(pickled):
        step = STEPS.get(instruction.name)
        if step is None:
            raise ForeignError(f"the instruction {instruction.name}")
        step(reader, value)
    (found,) = reader.stack
    if isinstance(found, list | tuple) and not isinstance(found, Tensor):
        found = dict(enumerate(found))
    if not isinstance(found, dict):
        found = {"tensor": found}
    return dict(_named(found, "", 0, count(1)))


def _named(
    found: dict[Any, Any], before: str, depth: int, counted: Iterator[int]
) -> Iterator[tuple[str, Tensor | None]]:
    """Yield what a dictionary and those in it hold, by name.

    Raises:
        ForeignError: there is no end to it: a dictionary may hold itself.
    """
    for name, each in found.items():
        if depth > DEEPEST or next(counted) > MOST_NAMES:
            raise ForeignError("dictionaries in dictionaries without an end")
        if isinstance(each, dict) and each:
            yield from _named(each, f"{before}{name}.", depth + 1, counted)
        else:
            yield f"{before}{name}", each if isinstance(each, Tensor) else None
