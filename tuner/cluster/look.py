"""One pass over all rows as a map over parts of them: sums, equal rows, a sample of the spectrum."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuner.cluster.source import Source
from tuner.cluster.stages import ITEMS, across
from tuner.data.profile import Tally, profile_of, sampled_rows, without_length
from tuner.data.vectors import Vectors, row_hashes
from tuner.runtime.journal import Journal, about, rename_synced
from tuner.runtime.workers import Workers
from tuner.sweep.rows_indexed import NO_ROWS
from tuner.types import Event, FloatArray, IdArray, Options, Profile, Steps

PART_BYTES = 256 << 20
"""Bytes of rows in float32 that one part of the pass reads."""
BUCKET_ROWS = 1 << 22
"""Rows whose digests are compared at once."""


@dataclass(frozen=True)
class Part:
    """Rows that follow each other.

    Attributes:
        sampled: rows among them that the spectrum is taken of.
        origin: (d,) float64 that sums are taken from, the first row of all.
        digests: file that the hashes of the rows are written to, ascending.
    """

    source: Source
    start: int
    stop: int
    sampled: IdArray
    origin: NDArray[np.float64]
    digests: Path


@dataclass(frozen=True)
class Seen:
    """What a part holds.

    Attributes:
        sample: its rows of the sample.
        zero_rows: rows whose length is zero.
        digest: BLAKE2b of its values.
    """

    tally: Tally
    sample: FloatArray
    zero_rows: IdArray
    digest: str


@dataclass(frozen=True)
class Looked:
    """What the pass says.

    Attributes:
        profile: profile of all rows.
        zero_rows: rows whose length is zero, ascending.
        parts: parts of the pass, whose digests lie there until ``count_in_base`` has read them.
    """

    profile: Profile
    zero_rows: IdArray
    parts: tuple[Part, ...]

    @property
    def nowhere(self) -> IdArray:
        """Rows that no index holds, ascending."""
        return self.zero_rows if self.profile.metric == "cosine" else NO_ROWS


def look(
    journal: Journal, workers: Workers, source: Source, options: Options
) -> Generator[Event, None, Looked]:
    """Yield events; return what one pass over all rows says.

    Raises:
        InputError: rows that no index can hold, as ``tuner.data.profile.scan`` raises it.
    """
    first = source.vectors(np.zeros(1, dtype=np.int64))
    origin = first.rows(np.zeros(1, dtype=np.int64))[0].astype(np.float64)
    sampled = sampled_rows(source.n, source.d, options.seed)
    step, folder = max(1, PART_BYTES // (4 * source.d)), journal.folder / ITEMS / "digests"
    parts = []
    for number, start in enumerate(range(0, source.n, step)):
        stop = min(source.n, start + step)
        mine = sampled[np.searchsorted(sampled, start) : np.searchsorted(sampled, stop)]
        parts.append(Part(source, start, stop, mine, origin, folder / f"{number:05}.i64"))
    seen = yield from across(
        journal, workers, "look", "read and profile the vectors", Seen, _look_at, parts, whole_node=False
    )
    n_buckets = -(-source.n // BUCKET_ROWS)
    paths = [part.digests for part in parts]
    buckets = [(paths, number, n_buckets) for number in range(n_buckets)]
    groups = yield from across(
        journal, workers, "equal", "compare rows that repeat", IdArray, _groups, buckets, whole_node=False
    )
    profile = _profile(source, first, seen, np.concatenate(groups), options)
    zero_rows = np.concatenate([each.zero_rows for each in seen])
    return Looked(profile, zero_rows, tuple(parts))


def _profile(source: Source, first: Vectors, seen: list[Seen], groups: IdArray, options: Options) -> Profile:
    tally = Tally(source.d, origin=seen[0].tally.origin)
    for each in seen:
        tally.merge(each.tally)
    whole = replace(first, source=source.shown, n=source.n, kept=None, ids=None)
    content = f"{source.n} {source.d} {source.dtype} {' '.join(each.digest for each in seen)}"
    fingerprint = "parts-" + hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
    sample = np.concatenate([each.sample for each in seen])
    return profile_of(whole, options.metric, tally, sample, groups, fingerprint)


def _look_at(part: Part) -> Steps[Seen]:
    vectors = part.source.vectors(np.arange(part.start, part.stop))
    tally, digest = Tally(vectors.d, origin=part.origin), hashlib.blake2b(digest_size=16)
    digests = np.empty(vectors.n, dtype=np.int64)
    zero_rows = [np.zeros(0, dtype=np.int64)]
    for start, stop in vectors.blocks():
        block = vectors.read(start, stop)
        digest.update(block.data)
        tally.add(part.start + start, block)
        digests[start:stop] = row_hashes(block)
        zero_rows.append(part.start + start + without_length(block))
        yield 0.9 * stop / vectors.n
    digests.sort()
    part.digests.parent.mkdir(parents=True, exist_ok=True)
    unfinished = part.digests.with_suffix(".partial")
    with about(part.digests), unfinished.open("wb") as out:
        out.write(digests.data)
    rename_synced(unfinished, part.digests)
    sample = vectors.rows(part.sampled - part.start)
    return Seen(tally, sample, np.concatenate(zero_rows), digest.hexdigest())


def _groups(item: tuple[list[Path], int, int]) -> Steps[IdArray]:
    """Return how many rows share each digest of one bucket: the digests between two values."""
    paths, number, n_buckets = item
    width = (1 << 64) // n_buckets
    low, high = number * width - (1 << 63), (number + 1) * width - (1 << 63)
    found = []
    for place, path in enumerate(paths):
        digests = np.memmap(path, dtype=np.int64, mode="r")
        begin = int(np.searchsorted(digests, low))
        end = len(digests) if number == n_buckets - 1 else int(np.searchsorted(digests, high))
        found.append(np.array(digests[begin:end]))
        yield (place + 1) / len(paths)
    _, counts = np.unique(np.concatenate(found), return_counts=True)
    return counts.astype(np.int64)
