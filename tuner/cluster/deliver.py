"""The chosen index of every shard written and searched in a fresh process, and the manifest of all."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuner.cluster.measure import OnAllShards, ShardedPoint, TimedShards, answer_among, number_of
from tuner.cluster.pose import PosedShards
from tuner.cluster.put_back import HandedOver, with_every_row
from tuner.cluster.shard_index import Written, write_shard
from tuner.cluster.stages import across
from tuner.errors import InputError
from tuner.runtime.journal import Journal, write_atomically
from tuner.search import INDEX_FILE, MANIFEST, read_manifest
from tuner.sweep.answer import closest
from tuner.sweep.index_file import remove_index
from tuner.types import Event

SCHEMA_VERSION = 1


def folder_of(number: int) -> str:
    """Return the name of the folder of a shard's index."""
    return f"shard-{number:05}"


def deliver_shards(
    journal: Journal, posed: PosedShards, on_all: OnAllShards, measured: TimedShards, out: Path
) -> Generator[Event, None, HandedOver]:
    """Yield events; write the index of every shard to ``out``, and the manifest when all are there.

    Where nothing reaches the target, nothing of this run or of an earlier one is left there.
    """
    folders, before = [folder_of(shard.number) for shard in on_all.shards], _folders_of_manifest(out)
    (out / MANIFEST).unlink(missing_ok=True)  # it is of the shards that are there until now
    paths = [out / folder for folder in folders]
    if posed.query_set.held_out_rows:
        handed = yield from with_every_row(journal, posed, on_all, measured, paths)
    else:
        handed = yield from _as_measured(journal, on_all, measured, paths)
    if handed.chosen is None:
        _remove(out, before | set(folders if handed.written else ()))
        return handed
    manifest = _manifest(on_all, handed.chosen, handed.written)
    write_atomically(out / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    remove_index(out)
    _remove(out, before - set(folders))
    return handed


def _as_measured(
    journal: Journal, on_all: OnAllShards, measured: TimedShards, folders: Sequence[Path]
) -> Generator[Event, None, HandedOver]:
    """Yield events; write the index of every shard as it was measured, if the answer has one."""
    problem, points = replace(on_all.whole, quantile=measured.quantile), measured.points
    answer = answer_among(problem, points, measured.noise_floor)
    if not answer.found:
        every = tuple(each.point for each in points)
        return HandedOver(closest(problem, list(every), every))
    number = number_of(answer, points, problem.options.prefer)
    chosen, tuned = points[number], on_all.tuned
    items = [
        (shard, tuned.proxy, tuned.trained, chosen.point, memory, folder)
        for shard, memory, folder in zip(on_all.shards, chosen.memory, folders, strict=True)
    ]
    title = "write the index of every shard and check it in a fresh process"
    written = yield from across(journal, on_all.workers, "deliver", title, Written, write_shard, items)
    return HandedOver(answer, chosen, measured.one_shard[number], tuple(written))


def _manifest(on_all: OnAllShards, chosen: ShardedPoint, written: Sequence[Written]) -> dict[str, Any]:
    shards, whole = on_all.shards, on_all.whole
    return {
        "schema_version": SCHEMA_VERSION,
        "n_shards": len(shards),
        "label": chosen.point.configuration.label,
        "ef_search": chosen.point.ef_search,
        "k": whole.options.k,
        "k_per_shard": chosen.k_per_shard,
        "metric": whole.base.metric,
        "fingerprint": shards[0].profile.fingerprint,
        "shards": [
            {"number": shard.number, "folder": folder_of(shard.number), "n": each.n, "digest": each.digest}
            for shard, each in zip(shards, written, strict=True)
        ],
    }


def remove_shards(out: Path) -> None:
    """Remove the shards that an earlier run left in a folder, and nothing that its manifest does not list."""
    before = _folders_of_manifest(out)
    (out / MANIFEST).unlink(missing_ok=True)
    _remove(out, before)


def _folders_of_manifest(out: Path) -> set[str]:
    """Return the folders that an earlier run made; none where there is no manifest that can be read."""
    try:
        return {each["folder"] for each in read_manifest(out)["shards"]}
    except InputError:
        return set()


def _remove(out: Path, folders: set[str]) -> None:
    for name in folders:
        (out / name / INDEX_FILE).unlink(missing_ok=True)
        with suppress(OSError):  # someone else's files are in it
            (out / name).rmdir()
