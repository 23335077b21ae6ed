"""Indexes that a run hands over, loaded and searched with plain faiss and numpy: in shards, under filters."""

from tuner.search.filtered import RECOMMENDED, Allowed, FilteredIndex, read_policy
from tuner.search.sharded import INDEX_FILE, MANIFEST, ShardedIndex, digest_of, is_of_shards, read_manifest

__all__ = [
    "INDEX_FILE",
    "MANIFEST",
    "RECOMMENDED",
    "Allowed",
    "FilteredIndex",
    "ShardedIndex",
    "digest_of",
    "is_of_shards",
    "read_manifest",
    "read_policy",
]
