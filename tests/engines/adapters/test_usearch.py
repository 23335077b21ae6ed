from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installed import needs

from tuner.engines import Deployment, EngineConfig, problems
from tuner.engines.adapters.usearch import CAPABILITIES, ENGINE, RunningUSearch, body
from tuner.errors import InputError

D, N = 16, 300
ASKED = EngineConfig(
    engine="usearch", codec="f32", d=D, metric="cosine", k=10, M=5, ef_construction=17, ef_search=40
)
X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)


@pytest.mark.parametrize("codec", [codec.name for codec in CAPABILITIES.codecs])
def test_the_exported_text_makes_the_index_it_names(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("usearch")
    monkeypatch.chdir(tmp_path)
    np.save("embeddings.npy", X)
    np.save("queries.npy", X[:20])
    made: dict[str, Any] = {}
    exec(body(replace(ASKED, codec=codec)), made)  # noqa: S102 - our own text
    index = made["index"]
    assert (index.connectivity, index.expansion_add, index.expansion_search) == (5, 17, 40)
    assert index.dtype.name.lower() == codec
    themselves = made["found"].keys[:, 0] == np.arange(20)
    assert themselves.sum() >= 16  # five links and two threads: its graph is another one each time


def test_bounds_that_the_library_does_not_hold_are_ours() -> None:
    assert problems(ENGINE, replace(ASKED, M=-5)) == ["M is -5, and it takes 2 to 10000"]
    assert problems(ENGINE, replace(ASKED, ef_search=0))
    assert problems(ENGINE, replace(ASKED, codec="i8")) == []
    assert problems(ENGINE, replace(ASKED, codec="i8", metric="ip"))
    assert problems(ENGINE, replace(ASKED, codec="i8", metric="l2"))
    assert problems(ENGINE, replace(ASKED, oversampling=2))


def test_the_library_itself_refuses() -> None:
    needs("usearch")
    ENGINE.check(ASKED)
    with pytest.raises(InputError, match="Connectivity must be at least 2"):
        ENGINE.check(replace(ASKED, M=1))
    with pytest.raises(InputError, match="USearch refuses"):
        ENGINE.check(replace(ASKED, codec="int4"))


def test_what_was_applied_is_read_from_the_index(tmp_path: Path) -> None:
    needs("usearch")
    running = RunningUSearch(replace(ASKED, metric="ip", codec="bf16"), Deployment(folder=tmp_path, n=N))
    assert running.applied().n_indexed == 0
    running.add(0, X)
    running.build()
    running.set_search(7, 1)
    applied = running.applied()
    assert (applied.n_indexed, applied.codec, applied.metric) == (N, "bf16", "ip")
    assert (applied.M, applied.ef_construction, applied.ef_search) == (5, 17, 7)
    assert N * (2 * D + 2 * 5 * 4) < running.index_bytes() < 2 * N * (2 * D + 2 * 5 * 4)


def test_the_default_codec_is_not_float32() -> None:
    needs("usearch")
    from usearch.index import Index

    index = Index(ndim=D)
    default = CAPABILITIES.defaults
    assert index.dtype.name.lower() == default.codec
    assert index.connectivity == default.M
    assert (index.expansion_add, index.expansion_search) == (default.ef_construction, default.ef_search)
