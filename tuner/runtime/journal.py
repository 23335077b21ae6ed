"""What a run has finished, on disk, so that a killed run goes on where it was.

One file a stage, written under a temporary name and renamed; a stage is finished when its file is
there. Stages hold frozen dataclasses, numbers, strings and arrays, as MessagePack.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import numpy as np

from tuner.errors import InputError
from tuner.runtime.peak import begin_peak, peak_since_begin
from tuner.runtime.process import return_freed_memory
from tuner.runtime.steps import as_progress
from tuner.types import Event, StageCost, StageFinished, StageStarted, Steps

T = TypeVar("T")
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a disk, or of a user's share of it, that has no room."""
JOURNAL = "journal.json"
"""File of a journal that says what the run depends on."""


class Saved(msgspec.Struct):
    """A finished stage as it stands on disk."""

    cost: StageCost
    value: msgspec.Raw


class Journal:
    """The finished stages of one run, in ``folder``.

    Args:
        folder: made if missing.
        identity: what the run depends on (data, options, versions). A folder of another run is refused.
        resume: go on from what is there; otherwise the folder is emptied.
    """

    def __init__(self, folder: Path, identity: dict[str, str], *, resume: bool) -> None:
        self.folder = folder
        self.costs: list[StageCost] = []
        folder.mkdir(parents=True, exist_ok=True)
        mark = folder / JOURNAL
        if resume:
            check_identity(mark, identity)
        else:
            for old in (*folder.glob("*.stage"), *folder.glob("*.partial")):
                old.unlink()
            write_atomically(mark, msgspec.json.encode(identity))

    @property
    def spent_s(self) -> float:
        """Wall seconds of all stages, those of an earlier run that this one goes on with among them."""
        return sum(cost.wall_s for cost in self.costs)

    def stage(
        self,
        name: str,
        title: str,
        kind: Any,
        work: Callable[[], Steps[T]],
        intact: Callable[[T], bool] = lambda _: True,
    ) -> Generator[Event, None, T]:
        """Do ``work`` once, ever: yield its progress, keep its result, or read it from an earlier run.

        Args:
            kind: type of the result, for reading it back.
            intact: whether the files that an earlier run left beside its result are still whole.
        """
        path = self.folder / f"{name}.stage"
        found = _read_stage(path, kind)
        if found is not None and intact(found[1]):
            self.costs.append(found[0])
            yield StageFinished(name, title, found[0].wall_s, found[0].cpu_s, resumed=True)
            return cast("T", found[1])
        yield StageStarted(name, title)
        wall, cpu = time.perf_counter(), cpu_seconds()
        begin_peak()
        value = yield from as_progress(name, work())
        return_freed_memory()
        cost = StageCost(
            name=name,
            wall_s=time.perf_counter() - wall,
            cpu_s=cpu_seconds() - cpu,
            peak_rss_bytes=peak_since_begin(),
        )
        raw = msgspec.Raw(encoded(value))
        write_atomically(path, msgspec.msgpack.encode(Saved(cost=cost, value=raw)))
        self.costs.append(cost)
        yield StageFinished(name, title, cost.wall_s, cost.cpu_s)
        return value


def _read_stage(path: Path, kind: Any) -> tuple[StageCost, Any] | None:
    """Return what an earlier run kept, or None if it kept nothing or the file is damaged."""
    try:
        saved = msgspec.msgpack.decode(path.read_bytes(), type=Saved)
        return saved.cost, decoded(saved.value, kind)
    except (FileNotFoundError, msgspec.DecodeError, ValueError):
        return None


def check_identity(mark: Path, identity: dict[str, str]) -> None:
    """Raise InputError unless ``mark`` was written by a run of the same identity."""
    try:
        found = msgspec.json.decode(mark.read_bytes(), type=dict[str, str])
    except OSError:
        raise InputError(
            f"{mark.parent}: no journal of an earlier run to resume; run without --resume"
        ) from None
    except msgspec.DecodeError:
        raise InputError(f"{mark}: the journal is damaged; run without --resume") from None
    different = sorted(key for key in identity.keys() | found.keys() if identity.get(key) != found.get(key))
    if different:
        raise InputError(
            f"{mark.parent}: the journal is of another run (different {', '.join(different)}); "
            "repeat its options and files, or run without --resume"
        )


def write_atomically(path: Path, data: bytes) -> None:
    """Write under a temporary name, flush to disk and rename, so that no reader sees half a file."""
    partial = path.with_name(path.name + ".partial")
    try:
        with about(path):
            with partial.open("wb") as out:
                out.write(data)
            rename_synced(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def rename_synced(partial: Path, path: Path) -> None:
    """Rename a finished file once it is on the disk: after a power loss the old one is there, or this one."""
    with about(path):
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            with suppress(OSError):  # some file systems of others cannot
                os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Let an error of the system name the file that was being written; a failed write itself names none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def cpu_seconds() -> float:
    """Return CPU seconds of this process and its ended children, all threads."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def encoded(value: Any) -> bytes:
    """Return frozen dataclasses, numbers, strings and arrays as MessagePack."""
    return msgspec.msgpack.encode(value, enc_hook=_encode)


def decoded(data: bytes | msgspec.Raw, kind: Any) -> Any:
    """Return a value of a type from what ``encoded`` made of it.

    Raises:
        msgspec.DecodeError: it is damaged, or of another type.
        ValueError: it is an array and too short.
    """
    return msgspec.msgpack.decode(data, type=kind, dec_hook=_decode)


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "shape": value.shape, "data": value.tobytes()}
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"a stage cannot keep a {type(value)}")


def _decode(kind: Any, value: Any) -> Any:
    if getattr(kind, "__origin__", kind) is np.ndarray:
        try:
            return np.frombuffer(value["data"], dtype=value["dtype"]).reshape(value["shape"])
        except KeyError as name:
            raise ValueError(f"an array lacks its {name}: it is damaged") from None
    raise NotImplementedError(f"a stage cannot read a {kind}")
