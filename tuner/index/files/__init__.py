"""Index files of faiss, hnswlib and usearch, read without trust."""
