"""The chosen index of every shard written and searched in a fresh process, and the manifest of all."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

from tuner.cluster.measure import OnAllShards, ShardedPoint
from tuner.cluster.shard_index import Written, write_shard
from tuner.cluster.stages import across
from tuner.errors import InputError
from tuner.runtime.journal import Journal, write_atomically
from tuner.search import INDEX_FILE, MANIFEST, read_manifest
from tuner.sweep.index_file import remove_index
from tuner.types import Event

SCHEMA_VERSION = 1


def folder_of(number: int) -> str:
    """Return the name of the folder of a shard's index."""
    return f"shard-{number:05}"


def deliver_shards(
    journal: Journal, on_all: OnAllShards, chosen: ShardedPoint, out: Path
) -> Generator[Event, None, None]:
    """Yield events; write the index of every shard to ``out``, and the manifest when all are there."""
    tuned, shards = on_all.tuned, on_all.shards
    items = [
        (shard, tuned.proxy, tuned.trained, chosen.point, memory, out / folder_of(shard.number))
        for shard, memory in zip(shards, chosen.memory, strict=True)
    ]
    before = _folders_of_manifest(out)
    (out / MANIFEST).unlink(missing_ok=True)  # it is of the shards that are there until now
    title = "write the index of every shard and check it in a fresh process"
    written = yield from across(journal, on_all.workers, "deliver", title, Written, write_shard, items)
    whole, what = on_all.whole, chosen.point.configuration
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "n_shards": len(shards),
        "label": what.label,
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
    write_atomically(out / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    remove_index(out)
    _remove(out, before - {folder_of(shard.number) for shard in shards})


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
