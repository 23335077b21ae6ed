"""The pages of `docs/engines/`, made from the `Capabilities` of each engine: `python docs/engine_pages.py`.

The pages are in the repository, so that they can be read there too. `tests/docs/test_site.py` fails where one
is not what is made here.
"""

from __future__ import annotations

import json
from pathlib import Path

from tuner.cli.engines import describe_engine
from tuner.engines import Engine, EngineConfig, find_engine
from tuner.engines.export import suffix
from tuner.engines.registry import OURS
from tuner.report.tables import cell, table

FOLDER = Path(__file__).parent / "engines"
EXAMPLE_DIMS, EXAMPLE_K = 256, 10
FENCES = {"vespa": "text"}
"""Languages that are fenced by another name than their own."""
SLOW = ("clickhouse", "lancedb", "lucene")
"""Engines whose searches, or whose virtual machine, make the commands of a page take 7 to 12 seconds."""
SLOW_MARK = """\
<!-- not run: it takes 7 to 12 seconds, however few rows there are; tests/engine_jobs verify in it too -->
"""
BODY_MARKS = {"redis": "<!-- not run: it asks the port where users have theirs; tests/engines runs it -->\n"}
"""What stands above a default in Python that tests do not run as it stands."""
VERIFIED = """\
`tune --target` searches for the answer in the running engine, `tune verify` proves an exported file on it:

{mark}```bash
tune --target {name} --recall 0.95 --queries queries.npy embeddings.npy
tune verify tune-out/embeddings/{name}/{file} embeddings.npy --queries queries.npy
tune export tune-out/embeddings/report.json --to {name} --nearest -o index{suffix}
```
"""
EXPORTED_ONLY = """\
It does not run on a development machine: configurations are exported, held against the vendor's own client
where it validates anything, and marked as not verified.

{mark}```bash
tune --target {name} --recall 0.95 --queries queries.npy embeddings.npy
tune export tune-out/embeddings/report.json --to {name} --nearest -o index{suffix}
```
"""


def page(name: str) -> str:
    """Return the page of an engine as Markdown."""
    engine = find_engine(name)
    can = engine.capabilities
    facts, codecs, silently = [], [], []
    for what, text in describe_engine(can):
        if what.startswith("codec "):
            codecs.append((f"`{what.removeprefix('codec ')}`", cell(text)))
        elif what == "silently":
            silently.append(text)
        elif text:
            facts.append((what, f"`{text}`" if what == "install" else cell(text)))
    parts = [
        f"# {can.title}",
        f"What `tune engines {name}` says and `tune` obeys. [Engines](../engines.md) explains the commands.",
        "\n".join(table(("", ""), facts)),
        "## Codecs",
        "\n".join(table(("codec", "what it is, and the codec of faiss that predicts it"), codecs)),
    ]
    if silently:
        parts += ["## What it does silently", "\n".join(f"- {text}" for text in silently)]
    use = EXPORTED_ONLY if engine.open is None else VERIFIED
    file, mark = f"{name}{suffix(engine)}", SLOW_MARK if name in SLOW else ""
    parts += ["## Use", use.format(name=name, file=file, suffix=suffix(engine), mark=mark).strip()]
    parts += [
        "## Its default, in its own language",
        f"The index that most of its users have, {EXAMPLE_DIMS} dimensions and cosine, as `tune` writes it:",
        f"{BODY_MARKS.get(name, '')}```{FENCES.get(can.language, can.language)}\n{_body(engine)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _body(engine: Engine) -> str:
    can = engine.capabilities
    usual = can.defaults
    body = engine.body(
        EngineConfig(
            engine=can.name,
            codec=usual.codec,
            d=EXAMPLE_DIMS,
            metric="cosine",
            k=EXAMPLE_K,
            M=usual.M,
            ef_construction=usual.ef_construction,
            ef_search=usual.ef_search,
            oversampling=usual.oversampling,
        )
    )
    return body.strip() if isinstance(body, str) else json.dumps(body, indent=2)


def write_pages() -> None:
    """Write the page of every engine of ours."""
    FOLDER.mkdir(exist_ok=True)
    for name in OURS:
        (FOLDER / f"{name}.md").write_text(page(name), encoding="utf-8")


if __name__ == "__main__":
    write_pages()
