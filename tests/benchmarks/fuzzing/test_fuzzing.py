"""What fuzzing begins with is read, and what it looks for is found where it is planted."""

import sys
import warnings
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.fuzzing.readers import READERS, Reader, finding
from tuner.errors import InputError


@pytest.mark.parametrize("name", sorted(READERS.keys() - {"faiss"}))
def test_every_seed_is_read(name: str, tmp_path: Path) -> None:
    for each in ("h5py", "pyarrow", "safetensors", "usearch"):
        pytest.importorskip(each, reason="fuzzing needs the extras formats and usearch")
    from benchmarks.fuzzing import seeds  # noqa: PLC0415

    reader, sizes = READERS[name], []
    for number, (suffix, content) in enumerate(seeds.SEEDS[name]()):
        path = tmp_path / f"{number}{reader.suffixes[suffix]}"
        assert finding(reader, reader.wrapped(content), path) == ""
        with suppress(InputError):  # two matrices, say
            sizes.append(reader.read(path))
    assert sizes
    assert min(sizes) > 0
    assert seeds.write_seeds(name, tmp_path / "seeds") == number + 1


def raising(error: Exception) -> Reader:
    def read(_: Path) -> int:
        raise error

    return Reader((".x",), read)


def test_what_is_no_sentence_is_a_finding(tmp_path: Path) -> None:
    def warn(_: Path) -> int:
        warnings.warn("so", RuntimeWarning, stacklevel=1)
        return 0

    path = tmp_path / "x"
    assert finding(raising(InputError("x: is damaged: write it again")), b"", path) == ""
    assert finding(raising(InputError("two\nlines")), b"", path).startswith("a sentence of several lines")
    assert finding(raising(KeyError("x")), b"", path).startswith("KeyError at readers.py:")
    assert finding(Reader((".x",), warn), b"", path).startswith("RuntimeWarning at ")
    assert finding(Reader((".x",), lambda _: sys.maxsize), b"", path) == "more than 300 MiB"
