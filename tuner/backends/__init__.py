"""Libraries that build and search: faiss (all codecs, transplanted graphs) and hnswlib (float32, native)."""
