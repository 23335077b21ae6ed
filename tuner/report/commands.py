"""The commands to type next, with the files of a run as its command had them."""

from __future__ import annotations

from tuner.types import Result

ARRAYS = (" array", "the list of ids")
"""How the names of what was no file end."""


def file_and_column(source: str) -> tuple[str, str]:
    """Return a file as it is given, and the name of the column in it, empty where the file is all there is.

    >>> file_and_column("items.parquet[embedding]"), file_and_column("x[1].npy")
    (('items.parquet', 'embedding'), ('x[1].npy', ''))
    """
    file, bracket, column = source.removesuffix("]").rpartition("[")
    return (
        (file, column)
        if source.endswith("]") and bracket and ("." in file or "://" in file)
        else (source, "")
    )


def given_again(result: Result) -> list[str] | None:
    """Return the words that give a command the vectors of a run again, None where they lay in no file."""
    base, column = file_and_column(result.profile.source)
    words, of_queries = [base], ""
    if not result.queries.held_out_rows:
        file, of_queries = file_and_column(result.queries.source)
        words += ["--queries", file]
    if column and of_queries in ("", column):  # where they differ, both were told without a name
        words += ["--column", column]
    if result.own_ids is not None:
        file, name = file_and_column(result.own_ids.source)
        words += ["--ids", name if name and file == base else result.own_ids.source]
    return None if any(word.endswith(ARRAYS) for word in words) else words
