"""An index in shards, loaded and searched: plain faiss and numpy, and the manifest that a run wrote."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from tuner.errors import InputError
from tuner.types import FloatArray, IdArray

MANIFEST = "shards.json"
INDEX_FILE = "index.faiss"
DIGEST_BYTES, BLOCK_BYTES = 16, 1 << 20


@dataclass(frozen=True)
class ShardedIndex:
    """The indexes of all shards, which answer as one.

    Attributes:
        shards: the index of each shard, whose ids are those of the whole.
        k_per_shard: neighbours asked of each shard for the k of the run.
        k: neighbours that the run was made for.

    Example:
        >>> index = ShardedIndex.load("tune-out/embeddings")  # doctest: +SKIP
        >>> distances, ids = index.search(queries, 10)  # doctest: +SKIP
    """

    shards: tuple[faiss.Index, ...]
    k_per_shard: int
    k: int

    @classmethod
    def load(cls, folder: str | Path) -> ShardedIndex:
        """Return the index that a run with shards wrote.

        Args:
            folder: its results, with ``shards.json``.

        Raises:
            InputError: a shard is missing, is there twice, or is another index than the run wrote.
        """
        manifest = read_manifest(Path(folder))
        shards = []
        for each in manifest["shards"]:
            path = Path(folder, each["folder"], INDEX_FILE)
            if not path.is_file():
                raise InputError(f"{path}: shard {each['number']} is missing: copy it there, or run again")
            if digest_of(path) != each["digest"]:
                raise InputError(
                    f"{path}: is not shard {each['number']} of this run, but damaged or of other data: copy "
                    "it again from the run's results"
                )
            shards.append(faiss.read_index(str(path)))
        return cls(tuple(shards), manifest["k_per_shard"], manifest["k"])

    @property
    def ntotal(self) -> int:
        """Number of vectors of all shards."""
        return sum(int(shard.ntotal) for shard in self.shards)

    def search(self, queries: FloatArray, k: int) -> tuple[FloatArray, IdArray]:
        """Return the distances (nq, k) and ids (nq, k) of the nearest vectors of all shards, nearest first.

        Args:
            queries: (nq, d) float32 as the run had them.
            k: neighbours of each query.
        """
        each_k = self.k_per_shard if k == self.k else k
        found = [shard.search(queries, each_k) for shard in self.shards]
        distances = np.hstack([np.where(ids >= 0, scores, np.inf) for scores, ids in found])
        ids = np.hstack([ids for _, ids in found])
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(distances, order, axis=1), np.take_along_axis(ids, order, axis=1)


def is_of_shards(path: Path) -> bool:
    """Return whether a path is the results folder of a run with shards, or its manifest."""
    return (path / MANIFEST).is_file() or (path.name == MANIFEST and path.is_file())


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of an index in shards.

    Raises:
        InputError: there is none, or it is damaged, or it names a shard twice or not at all.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        shards = manifest["shards"]
        numbers = [int(each["number"]) for each in shards]
        folders = [str(each["folder"]) for each in shards]
        digests = [str(each["digest"]) for each in shards]
        n_shards = int(manifest["n_shards"])
        sound = int(manifest["k_per_shard"]) > 0 < int(manifest["k"])
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give the results folder of a run with --shards") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: is no manifest of shards ({type(error).__name__}): run again") from None
    for number in range(n_shards):
        if numbers.count(number) != 1:
            times = "missing" if number not in numbers else f"there {numbers.count(number)} times"
            raise InputError(f"{path}: shard {number} of {n_shards} is {times}: take the manifest of the run")
    twice = next((one for one in digests if digests.count(one) > 1), None)
    if twice is not None:
        same = [each["number"] for each in shards if each["digest"] == twice]
        raise InputError(f"{path}: shards {same[0]} and {same[1]} are the same index: run again")
    if len(numbers) != n_shards or not sound or any(Path(name).name != name for name in folders):
        raise InputError(f"{path}: is no manifest of shards: take the one that the run wrote")
    return manifest


def digest_of(path: Path) -> str:
    """Return BLAKE2b of a file."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
