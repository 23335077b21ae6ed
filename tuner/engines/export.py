"""An exported configuration as a file: what it claims, and the engine's own language below it.

The file carries its settings in one line for machines. Reading it renders them again, and the file must be
what comes out, to the letter: so what is verified is what the file says, and a body that was edited by hand
is refused with the line that differs.
"""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec

from tuner.engines.filtered import describe_filters
from tuner.engines.limits import check_config
from tuner.engines.protocol import Capabilities, Engine
from tuner.engines.registry import find_engine
from tuner.errors import InputError
from tuner.runtime.journal import write_atomically
from tuner.text import one_lined, unsafe_character
from tuner.types import Claims, EngineConfig, Exported, OperatingPoint, Result

SUFFIXES = {"json": ".json", "sql": ".sql", "python": ".py", "java": ".java", "vespa": ".sd"}
COMMENTS = {"sql": "-- ", "python": "# ", "java": "// ", "vespa": "# "}
MARK = "tune: "
MOST_BYTES = 1 << 20
"""Exported files take a few kB."""


def render(engine: Engine, exported: Exported) -> str:
    """Return the text of the file, its texts on one line each: they stand in comments of code.

    Raises:
        InputError: the engine, or its vendor's model, does not take the settings.
    """
    exported = one_lined(exported)
    check_config(engine, exported.settings)
    about = _about(engine.capabilities, exported)
    machine = _for_machines(exported)
    body = engine.body(exported.settings)
    if isinstance(body, dict):
        whole: dict[str, Any] = {"about": about, "tune": json.loads(machine), **body}
        return json.dumps(whole, indent=2) + "\n"
    sign = COMMENTS[engine.capabilities.language]
    head = [*about, MARK + machine]
    return "\n".join([*(sign + line for line in head), "", body.strip(), ""])


def _for_machines(exported: Exported) -> str:
    """Return the settings in one line; what most files have nothing to say of is left out, as ever."""
    tree = msgspec.to_builtins(exported)
    for name in ("n_copies", "text_ids"):
        if not tree["claims"][name]:
            del tree["claims"][name]
    for name, usual in (("n_shards", 1), ("filters", None)):
        if tree["settings"][name] == usual:
            del tree["settings"][name]
    return msgspec.json.encode(tree).decode()


def suffix(engine: Engine) -> str:
    """Return how the name of an exported file ends."""
    return SUFFIXES[engine.capabilities.language]


def write_exported(engine: Engine, exported: Exported, path: Path) -> None:
    """Write the file, under a temporary name first.

    Raises:
        InputError: the settings are refused, or the file cannot be written.
    """
    text = render(engine, exported)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}): name another file") from None


def read_exported(path: Path) -> tuple[Engine, Exported]:
    """Return the engine of an exported file and what it holds.

    Raises:
        InputError: it cannot be read, is no such file, or was edited.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: is too large for an exported configuration: name one from tune export")
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): name a file from tune export") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text: name a file from tune export") from None
    exported = _decode(path, text)
    engine = find_engine(exported.settings.engine)
    try:
        expected = render(engine, exported)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    _check_unchanged(path, text, expected)
    return engine, exported


def _decode(path: Path, text: str) -> Exported:
    unsafe = unsafe_character(text)
    if unsafe is None:
        exported = _settings_in(path, text)
        if exported == one_lined(exported):
            return exported
    raise InputError(
        f"{path}: holds control characters ({unsafe or 'written as escapes'}), which tune export never "
        "writes: export the configuration again"
    )


def _settings_in(path: Path, text: str) -> Exported:
    try:
        if text.lstrip().startswith("{"):
            return msgspec.convert(json.loads(text)["tune"], Exported)
        lines = (
            line.removeprefix("-- ").removeprefix("# ").removeprefix("// ") for line in text.splitlines()
        )
        machine = next(line for line in lines if line.startswith(MARK))
        return msgspec.json.decode(machine.removeprefix(MARK).encode(), type=Exported)
    except (KeyError, TypeError, StopIteration, ValueError, RecursionError) as error:
        why = f" ({error})" if isinstance(error, ValueError) else ""
        raise InputError(
            f"{path}: holds no settings of tune export{why}: export the configuration again"
        ) from None


def _check_unchanged(path: Path, text: str, expected: str) -> None:
    pairs = zip_longest(text.splitlines(), expected.splitlines(), fillvalue="(nothing)")
    for number, (found, wanted) in enumerate(pairs, 1):
        if found.rstrip() != wanted.rstrip():
            raise InputError(
                f"{path}, line {number}: {_short(found)} stands where its settings say {_short(wanted)}: "
                "what is verified must be what the file says, so export it again instead of editing it"
            )


def _short(line: str) -> str:
    line = line.strip()
    return repr(line if len(line) <= 80 else line[:77] + "...")


def _about(can: Capabilities, exported: Exported) -> list[str]:
    config, claims = exported.settings, exported.claims
    codec = can.codec(config.codec)
    where = claims.measured_in if claims.in_engine else f"{claims.measured_in}, as {claims.label}"
    lines = [
        f"{can.title}: {config.label}",
        f"made by vector-index-tuner {claims.tuner} for recall@{config.k} of {claims.target:g}, metric "
        f"{config.metric}",
        f"measured in {where}: recall {claims.recall:.4f} (at least {claims.recall_lower:.4f}) on "
        f"{claims.n_queries:,} queries, {claims.index_bytes:,} bytes, {claims.n:,} x {config.d} "
        f"vectors of {claims.data}, {claims.created}",
    ]
    if not claims.in_engine:
        unseen = "on a running server" if can.runs == "no" else f"in {can.title}"
        lines.append(f"NOT verified {unseen}: the engine's own codec and graph can reach another recall")
        if can.runs != "no" and config.n_shards == 1:
            lines[-1] += f"; tune verify FILE --on {can.name} VECTORS, with the same --queries, does it"
    lines += [*describe_shards(can, config), *describe_filters(can, config)]
    if config.variant:
        lines.append(f"for version {config.variant} of the engine")
    if codec is not None and codec.note:
        lines.append(f"{codec.name}: {codec.note}")
    if claims.n_copies:
        lines.append(
            f"measured on distinct rows: {claims.n_copies:,} that repeat one of them are in no index: load "
            "each distinct row once and keep the ids of its copies in the application (copies.npy beside "
            f"index.faiss has them); recall counts rows: an answer and its copies, until there are {config.k}"
        )
    if claims.text_ids:
        lines.append("your ids are text: give what holds them that type, where whole numbers are named below")
    if config.oversampling > 1:
        lines.append(f"oversampling: {can.counts_oversampling}")
    return lines


def describe_shards(can: Capabilities, config: EngineConfig) -> list[str]:
    """Return what has to be known of a configuration for several shards, a sentence each; none for one."""
    n, k = config.n_shards, config.k
    if n == 1:
        return []
    merged = (
        f"measured on {n} shards, each of a part of the rows and asked for {k}, whose answers are merged: "
        f"recall, bytes and vectors are those of all, ef_search={config.ef_search} is of EACH shard"
    )
    if can.most_shards > 1:
        return [
            merged,
            f"shards: {can.counts_shards}",
            "rows were dealt to the shards at random; the engine deals them as evenly, by a hash of their "
            "ids, but its shards hold other rows, so recall can differ a little",
        ]
    return [
        merged,
        f"what follows is ONE of the {n}, as no number of shards stands in a configuration of {can.title}: "
        f"make {n} such indexes, each of a part of the rows, ask each for {k}, and merge their answers by "
        "distance in the application",
        "rows were dealt to the shards at random: deal them so too, for parts by topic or time need another "
        "ef_search",
    ]


def claims_of(result: Result, point: OperatingPoint) -> Claims:
    """Return what a report says of one of its points, or of the index that it compares with."""
    compared = result.baseline if point not in result.points else None
    library = "hnswlib" if compared is not None and compared.build_cpu_s is not None else "faiss"
    recall = point.recall
    queries = result.queries
    held_out = len(queries.held_out_rows)
    n_copies = 0 if result.collapsed is None else result.collapsed.n_copies
    return Claims(
        target=result.options.recall,
        recall=recall.mean,
        recall_lower=recall.lower,
        n_queries=recall.n_queries,
        n=result.profile.n_indexed - n_copies,
        index_bytes=point.memory.resident_bytes,
        data=Path(result.profile.source).name,
        label=point.configuration.label,
        measured_in=f"{library} {result.versions.get(library, '')}".strip(),
        in_engine=False,
        created=result.created,
        queries="held out" if held_out else queries.fingerprint,
        seed=result.options.seed,
        confidence=result.options.confidence,
        n_held_out=held_out,
        n_copies=n_copies,
        text_ids=result.own_ids is not None and not result.own_ids.in_index,
    )
