"""Which engines there are: an explicit table of our files, and entry points for those of others."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

from tuner.engines.protocol import Engine
from tuner.errors import InputError

GROUP = "vector_index_tuner.engines"
"""Entry points of this group name an ``Engine``: ``myengine = "my_package.my_module:ENGINE"``."""
OURS = {
    name: f"tuner.engines.adapters.{name}"
    for name in (
        *("faiss", "hnswlib", "usearch", "pgvector", "qdrant", "lancedb", "clickhouse", "duckdb", "chroma"),
        *("lucene", "redis"),
        *("elasticsearch", "opensearch", "weaviate", "milvus", "vespa", "mongodb", "azure"),
    )
}


def engine_names() -> tuple[str, ...]:
    """Return the names of all engines, ours first."""
    theirs = sorted(point.name for point in entry_points(group=GROUP) if point.name not in OURS)
    return (*OURS, *theirs)


def find_engine(name: str) -> Engine:
    """Return an engine by its name; its packages need not be installed.

    Raises:
        InputError: there is none of that name, or the entry point of that name names no engine.
    """
    if name in OURS:
        found = import_module(OURS[name]).ENGINE
    else:
        points = [point for point in entry_points(group=GROUP) if point.name == name]
        if not points:
            near = get_close_matches(name.lower(), engine_names(), n=1, cutoff=0.5)
            hint = f"the nearest is {near[0]!r}" if near else "tune engines lists them"
            raise InputError(f"there is no engine {name!r}: {hint}")
        try:
            found = points[0].load()
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"engine {name!r}: its entry point {points[0].value} cannot be loaded ({error}): "
                f"reinstall {points[0].dist.name if points[0].dist else 'its package'}"
            ) from None
    if not isinstance(found, Engine):
        raise InputError(f"engine {name!r}: its entry point names no tuner.engines.Engine: correct it")
    return found


def missing_modules(engine: Engine, address: str | None = None) -> tuple[str, ...]:
    """Return the import names that the engine needs and that are not installed.

    Args:
        address: address of the user's own server, beside which none of our own is needed.
    """
    can = engine.capabilities
    unneeded = can.server_modules if address else ()
    return tuple(name for name in can.modules if name not in unneeded and not _is_there(name))


def require_installed(engine: Engine, address: str | None = None) -> None:
    """Raise InputError with the exact ``pip install`` line if the engine's packages are not there."""
    can, missing = engine.capabilities, missing_modules(engine, address)
    if missing:
        wanted = [package for package, name in zip(can.packages, can.modules, strict=True) if name in missing]
        raise InputError(
            f"{can.title} is not installed ({', '.join(missing)} missing): pip install "
            f"{' '.join(repr(package) for package in wanted)}"
        )


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
