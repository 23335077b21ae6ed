"""Readers of files of vectors, a module a format; ``tuner.data.matrix`` chooses among them."""
