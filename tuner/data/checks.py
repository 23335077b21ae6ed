"""What can be refused before any work: options out of range, and options that do not fit the data."""

from __future__ import annotations

from typing import get_args

import numpy as np

from tuner.data.profile import check_queries
from tuner.data.split import n_held_out
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.runtime.machine import available_cores
from tuner.text import counted
from tuner.types import PREFERENCES, Duplicates, Metric, Options, StoreAt

MOST_SEED = 2**62
"""faiss's generators take 63 bits."""
MOST_THREADS = 16
"""Times the cores: more threads only wait for each other."""
MOST_SHARES = 8
"""Shares of rows that made-up filters allow: each is measured."""
FEWEST_QUERIES = 20
"""Fewer bound nothing."""


def check_inputs(base: Vectors, queries: Vectors | None, options: Options) -> None:
    """Raise InputError if options are out of range, or do not fit the base or the queries.

    Reads the queries but not the base. Zero queries are looked for only under an explicit cosine: call
    ``check_queries`` again when ``auto`` chose it.
    """
    check_options(options)
    if base.n == 1:
        raise InputError(f"{base.source} has one row of {base.d:,}, a search needs many: save all of them")
    if options.k >= base.n:
        raise InputError(
            f"k is {options.k} but {base.source} has only {counted(base.n, 'row')}: use a k below {base.n}"
        )
    if queries is None:
        _check_hold_out(base, options)
        kept = base.n - n_held_out(base.n, options.n_queries, options.earlier)
        if options.k >= kept:
            raise InputError(
                f"k is {options.k} but only {counted(kept, 'row')} of {base.source} remain when queries are "
                "held out: use a smaller k or give a query file"
            )
        return
    if options.n_queries is not None:
        raise InputError(
            f"n_queries holds rows out of the base, but {queries.source} is given: leave one of them out"
        )
    if queries.n < FEWEST_QUERIES:
        raise InputError(
            f"{queries.source} has too few queries ({queries.n}), and recall needs at least "
            f"{FEWEST_QUERIES}, better 1,000: give more, or none to have them held out of the base"
        )
    check_queries(base, queries, options.metric)


def check_options(options: Options) -> None:
    """Raise InputError if an option is out of its range."""
    _check_names(options)
    _check_targets(options)
    _check_selectivity(options.selectivity)
    if not 0.5 < options.confidence < 1:
        raise InputError(f"confidence is {options.confidence:g}, but it lies in (0.5, 1): give 0.95, say")
    limits = {
        "max_memory": options.max_memory_bytes,
        "max_memory a vector": options.max_memory_per_vector,
        "max_latency": options.max_latency_s,
        "time_budget": options.time_budget_s,
        "memory_limit": options.run_memory_bytes,
    }
    for name, limit in limits.items():
        if limit is not None and not limit > 0:
            raise InputError(f"{name} is {limit:g}, but a limit is above 0: raise it or leave it out")
    for name, value, least in (
        ("k", options.k, 1),
        ("seed", options.seed, 0),
        ("threads", options.threads, 0),
    ):
        if value < least:
            raise InputError(f"{name} is {value}, but it is at least {least}: give a larger one")
    if options.seed > MOST_SEED:
        raise InputError(f"seed is {options.seed}, but it is at most {MOST_SEED}: give a smaller one")
    if options.threads > MOST_THREADS * available_cores():
        raise InputError(
            f"threads is {options.threads}, but this machine has {counted(available_cores(), 'core')}: "
            "give that many, or 0"
        )
    if options.k > options.space.ef_search_max:
        raise InputError(
            f"k is {options.k}, above the space's ef_search_max of {options.space.ef_search_max}: "
            "ef_search is never below k, so raise ef_search_max or lower k"
        )
    if options.rerank_store == "disk" and max(options.space.rerank_factors) == 1:
        raise InputError(
            f"rerank_store is disk, but the space {options.space.name!r} re-ranks nothing: "
            "add rerank_factors above 1 or leave rerank_store out"
        )
    if options.rerank_store == "disk" and options.duplicates == "collapse":
        raise InputError(
            "duplicates is collapse and rerank_store is disk: an index whose store lies on disk answers with "
            "positions, and a list of copies is of ids: leave one of them out"
        )


def _check_selectivity(shares: tuple[float, ...]) -> None:
    wrong = [share for share in shares if not 0 < share < 1]
    if wrong:
        raise InputError(
            f"selectivity is {wrong[0]:g}, but a filter allows a share of the rows in (0, 1): give "
            "10% or 0.1, say"
        )
    if len(shares) > MOST_SHARES:
        raise InputError(
            f"selectivity has {len(shares)} shares, and at most {MOST_SHARES} are tried: leave some out"
        )
    if list(shares) != sorted(set(shares), reverse=True):
        given = ", ".join(f"{share:g}" for share in shares)
        raise InputError(
            f"selectivity is {given}, but its shares differ, and the largest is the first: give each once, "
            "in that order"
        )


def _check_targets(options: Options) -> None:
    for recall in (options.recall, *options.other_recalls):
        if not 0 < recall <= 1:
            hint = f"{recall / 100:g} for {recall:g} %" if 2 <= recall <= 100 else "a share such as 0.95"
            raise InputError(f"recall is {recall:g}, but a target lies in (0, 1]: give {hint}")
    if any(k < 1 for k in options.other_ks):
        raise InputError(f"k is {min(options.other_ks)}, but it is at least 1: give a larger one")


def _check_hold_out(base: Vectors, options: Options) -> None:
    asked = options.n_queries
    if asked is None:
        return
    if asked < FEWEST_QUERIES:
        raise InputError(
            f"n_queries is {asked}, and recall needs at least {FEWEST_QUERIES} queries: hold out more"
        )
    if asked > base.n // 2 or options.k >= base.n - asked:
        raise InputError(
            f"n_queries is {asked}, too many to hold out of the {base.n} rows of {base.source} for k = "
            f"{options.k}: hold out fewer, or give a query file"
        )


def _check_names(options: Options) -> None:
    for choice, given, known in (
        ("metric", options.metric, ("auto", *get_args(Metric))),
        ("prefer", options.prefer, PREFERENCES),
        ("rerank_store", options.rerank_store, get_args(StoreAt)),
        ("duplicates", options.duplicates, get_args(Duplicates)),
        ("baseline", options.baseline, ("graph", "hnswlib")),
    ):
        if given not in known:
            raise InputError(f"{choice} is {given!r}, but it is one of {', '.join(known)}: give one of them")
    for name, number in (("k", options.k), ("seed", options.seed), ("threads", options.threads)):
        if not isinstance(number, (int, np.integer)):
            raise InputError(f"{name} is {number!r}, but it is a whole number: give one")
    if not options.space.codecs:
        raise InputError("the space has no codecs: give some, or leave them out for the default")
