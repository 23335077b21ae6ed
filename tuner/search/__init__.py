"""Indexes that a run hands over, loaded and searched with plain faiss and numpy: in shards, under filters."""

from tuner.search.filtered import Allowed, FilteredIndex
from tuner.search.sharded import INDEX_FILE, MANIFEST, ShardedIndex, digest_of, is_of_shards, read_manifest

__all__ = [
    "INDEX_FILE",
    "MANIFEST",
    "Allowed",
    "FilteredIndex",
    "ShardedIndex",
    "digest_of",
    "is_of_shards",
    "read_manifest",
]
