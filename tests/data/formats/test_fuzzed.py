"""Files that fuzzing found: each is a sentence now, or is read without a word."""

import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tuner.data.formats import hdf5
from tuner.data.formats.columns import column_of
from tuner.data.formats.wanted import IDS
from tuner.data.ids import read_ids
from tuner.data.vectors import open_vectors
from tuner.errors import InputError

HEADER = b"\x93NUMPY\x01\x00\x76\x00{'descr': '%s', 'fortran_order': False, 'shape': %s, }"


def npy(descr: bytes, shape: bytes, data: bytes) -> bytes:
    return (HEADER % (descr, shape)).ljust(127) + b"\n" + data


def test_chunks_that_were_never_written_are_told(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra 'formats' is not installed")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("emb", shape=(65_530, 4), dtype="f4", chunks=(2, 4), compression="gzip")
        file["emb"][:4] = 1
    with pytest.raises(InputError, match=r"has 2 of 32,765 chunks, so rows of it were never written"):
        open_vectors(tmp_path / "x.h5", "base")


@pytest.mark.parametrize("chunks", [(2, 4), (3, 1), (40, 2), None])
def test_small_chunks_are_read_a_few_at_a_time(
    chunks: tuple[int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra 'formats' is not installed")
    x = np.arange(400, dtype=np.float32).reshape(100, 4)
    monkeypatch.setattr(hdf5, "MOST_CHUNKS", 6)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("emb", data=x, chunks=chunks)
        sizes = [len(block) for block in hdf5._blocks(file["emb"])]
    assert max(sizes) == {(2, 4): 12, (3, 1): 3, (40, 2): 100, None: 100}[chunks]
    np.testing.assert_array_equal(open_vectors(tmp_path / "x.h5", "base").read(0, 100), x)


def test_characters_that_there_are_not_are_told(tmp_path: Path) -> None:
    for descr, data in ((b"<U1", b"a\0&\0\0b\x82\0"), (b">U1", b"\0&\0a\0\x82b\0")):
        (tmp_path / "ids.npy").write_bytes(npy(descr, b"(2,)", data))
        with pytest.raises(InputError, match="holds text with characters that there are not"):
            read_ids(tmp_path / "ids.npy")
    (tmp_path / "ids.npy").write_bytes(npy(b"<U1", b"(2,)", "\U0010ffffb".encode("utf-32-le")))
    assert read_ids(tmp_path / "ids.npy").names[0] == "\U0010ffff"


def test_ids_without_bytes_are_told(tmp_path: Path) -> None:
    (tmp_path / "ids.npy").write_bytes(npy(b"<U0", b"(5,)", b""))
    with pytest.raises(InputError, match=r"ids\.npy holds <U0, values without bytes: write it again"):
        read_ids(tmp_path / "ids.npy")


def test_a_header_that_is_written_unusually_is_read_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy(b"<f4", b"(2L, 2L)", np.arange(4, dtype="<f4").tobytes()))
    np.testing.assert_array_equal(open_vectors(tmp_path / "x.npy", "base").read(0, 2), [[0, 1], [2, 3]])
    (tmp_path / "ids.npy").write_bytes(npy(b"<i8", b"(2L,)", np.arange(2, dtype="<i8").tobytes()))
    assert read_ids(tmp_path / "ids.npy").names.tolist() == [0, 1]


@pytest.mark.parametrize("text", [b'{"id":"\xff"}', b'{"id":"a\xdd', b'[{"id":"\xe0b"}]'])
def test_ids_of_a_json_text_that_is_no_utf_8_are_told(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(text)
    with pytest.raises(InputError, match="is no file and no column of"):
        column_of(tmp_path / "x.jsonl", "id", frozenset(), IDS)


def _name(content: bytearray) -> None:
    content[30] ^= 1


def _version(content: bytearray) -> None:
    content[content.rindex(b"PK\x01\x02") + 6] = 210


def _method(content: bytearray) -> None:
    content[content.rindex(b"PK\x01\x02") + 10] = 99


def _value(content: bytearray) -> None:
    content[content.rindex(b"PK\x01\x02") - 5] ^= 1


def _end(content: bytearray) -> None:
    del content[-4:]


@pytest.mark.parametrize("damage", [_name, _version, _method, _value, _end])
def test_ids_of_a_damaged_archive_are_told(damage: Callable[[bytearray], None], tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", id=np.arange(50))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    damage(content)
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.npz"):
        column_of(tmp_path / "x.npz", "id", frozenset(), IDS)


def test_ids_that_say_more_than_the_archive_holds_take_no_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("id.npy", npy(b"<i8", b"(99999999999999,)", bytes(16)))
    with pytest.raises(InputError, match="id has 144 bytes where its header promises"):
        column_of(tmp_path / "x.npz", "id", frozenset(), IDS)


def test_values_that_are_arrays_themselves_are_told(tmp_path: Path) -> None:
    (tmp_path / "ids.npy").write_bytes(npy(b"|12S2", b"(2,)", b"ab" * 24))
    with pytest.raises(InputError, match="has a damaged or truncated header"):
        read_ids(tmp_path / "ids.npy")


def test_names_of_columns_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('a,b,"line\n\nline"\n1,"[1.]","[2.]"\n')
    with pytest.raises(InputError) as caught:
        open_vectors(tmp_path / "x.csv", "base")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError) as caught:
        column_of(tmp_path / "x.csv", "other", frozenset(), IDS)
    assert "\n" not in str(caught.value)


def lengthened(path: Path, length: int) -> None:
    """Make the file say that a text of this length, which lies apart, is of two gigabytes."""
    content = path.read_bytes()
    described = struct.pack("<IQ", length, content.index(b"GCOL"))
    assert content.count(described) == 1
    path.write_bytes(content.replace(described, struct.pack("<I", 0x7FFFFFFF) + described[4:]))


def peak_of(module: str, *arguments: str) -> int:
    """Largest memory, in bytes, of a child that reads text, and of nothing else."""
    code = (
        f"import resource, sys; sys.argv = ['', *{list(arguments)!r}]\n"
        f"from tuner.data.formats.hdf5_text import {module} as read\nfrom pathlib import Path\n"
        "found = read(Path(sys.argv[1]), sys.argv[2])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
    )
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


def test_text_in_hdf5_that_says_it_is_of_gigabytes_takes_none(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra 'formats' is not installed")
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["id"] = ["first", "b"]
    assert column_of(path, "id", frozenset(), IDS).tolist() == ["first", "b"]
    lengthened(path, len("first"))
    with pytest.raises(InputError, match="id cannot be read: write the file again"):
        column_of(path, "id", frozenset(), IDS)
    assert peak_of("dataset_text", str(path), "id") < 400 << 20


def test_so_does_the_name_of_a_distance(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra 'formats' is not installed")
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["train"] = np.ones((5, 4), np.float32)
        file.attrs["distance"] = "angular"
    assert hdf5.open_hdf5(path, "x.h5", "base", None).distance == "angular"
    lengthened(path, len("angular"))
    assert hdf5.open_hdf5(path, "x.h5", "base", None).distance == ""
    assert peak_of("attribute_text", str(path), "distance") < 400 << 20


def test_ids_of_chunks_that_were_never_written_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra 'formats' is not installed")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("id", (1 << 40,), np.int64, chunks=(1 << 16,))
    with pytest.raises(InputError, match="chunks"):
        column_of(tmp_path / "x.h5", "id", frozenset(), IDS)
