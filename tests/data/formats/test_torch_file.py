"""Torch's files are read as the .npy file of the same rows, without torch; nothing in them is run."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from torch_written import archive, save, tensor, text, whole

from tuner.data.formats import torch_file
from tuner.data.formats.torch_pickle import STEPS
from tuner.data.vectors import open_vectors
from tuner.errors import InputError

WRITTEN_BY_TORCH = Path(__file__).parent / "torch"
X = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)


def test_what_torch_writes_is_read() -> None:
    """Both are of torch 2.14.1: x, and an OrderedDict of x.bfloat16(), x.double().t(), ids and a number."""
    x = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
    several = WRITTEN_BY_TORCH / "several.pt"
    for found, wanted in (
        (open_vectors(WRITTEN_BY_TORCH / "alone.pt", "base"), x),
        (open_vectors(several, "base", "weight"), x),
        (open_vectors(several, "base", "columns"), x.T.astype(np.float64)),
    ):
        assert found.fingerprint == open_vectors(wanted, "base").fingerprint
        np.testing.assert_array_equal(found.read(0, found.n), wanted)
    with pytest.raises(InputError, match=r"2 matrices: .* --column: there is weight 3 x 4, columns 4 x 3"):
        open_vectors(several, "base")
    with pytest.raises(InputError, match=r"several\.pt\[epoch\] is no tensor"):
        open_vectors(several, "base", "epoch")


@pytest.mark.parametrize("file", ["x.pt", "x.pth", "pytorch_model.bin", "x.npy"])
def test_the_content_says_what_it_is(file: str, tmp_path: Path) -> None:
    archive(tmp_path / file, tensor("Float", "0", X.shape), X.tobytes())
    np.testing.assert_array_equal(open_vectors(tmp_path / file, "base").read(0, 40), X)


def test_a_part_of_a_storage_is_read_where_it_lies(tmp_path: Path) -> None:
    archive(tmp_path / "x.pt", tensor("Float", "0", (30, 6), n=240, offset=60), X.tobytes())
    np.testing.assert_array_equal(open_vectors(tmp_path / "x.pt", "base").read(0, 30), X[10:])
    archive(tmp_path / "y.pt", tensor("Float", "0", (6, 40), stride=(1, 6)), X.tobytes())
    np.testing.assert_array_equal(open_vectors(tmp_path / "y.pt", "base").read(2, 5), X.T[2:5])
    archive(tmp_path / "z.pt", tensor("Float", "0", (1, 6), n=240, stride=(77, 1)), X.tobytes())
    np.testing.assert_array_equal(open_vectors(tmp_path / "z.pt", "base").read(0, 1), X[:1])


def test_numbers_of_a_big_endian_machine_are_turned_around(tmp_path: Path) -> None:
    archive(tmp_path / "x.pt", tensor("Float", "0", X.shape), X.astype(">f4").tobytes(), order="big")
    found = open_vectors(tmp_path / "x.pt", "base")
    assert found.fingerprint == open_vectors(X, "base").fingerprint


def test_tensors_of_a_list_have_numbers(tmp_path: Path) -> None:
    both = b"](" + tensor("Float", "0", X.shape) + tensor("Float", "1", (5, 6)) + b"e"
    archive(tmp_path / "x.pt", both, X.tobytes(), X[:5].tobytes())
    assert open_vectors(tmp_path / "x.pt", "base", "1").n == 5


def test_tensors_of_a_dictionary_in_a_dictionary_have_both_names(tmp_path: Path) -> None:
    """As a checkpoint has them."""
    state = b"}" + text("weight") + tensor("Float", "0", X.shape) + b"s"
    archive(tmp_path / "x.pt", b"}(" + text("epoch") + whole(3) + text("state") + state + b"u", X.tobytes())
    assert open_vectors(tmp_path / "x.pt", "base").fingerprint == open_vectors(X, "base").fingerprint
    assert open_vectors(tmp_path / "x.pt", "base", "state.weight").n == len(X)
    with pytest.raises(InputError, match=r"has no tensor 'weight': there is state\.weight 40 x 6"):
        open_vectors(tmp_path / "x.pt", "base", "weight")


def thrice(depth: int) -> bytes:
    """A dictionary that holds one three times, which does so too."""
    found = b"}" + text("x") + whole(1) + b"s"
    for n in range(depth):
        again = b"h" + bytes([n])
        found = b"}(" + text("a") + found + b"q" + bytes([n]) + text("b") + again + text("c") + again + b"u"
    return found


ENDLESS = {"in itself": b"}q\x00" + text("a") + b"h\x00s", "of half a million names": thrice(12)}


@pytest.mark.parametrize("name", ENDLESS)
def test_dictionaries_without_an_end_are_told(name: str, tmp_path: Path) -> None:
    archive(tmp_path / "x.pt", ENDLESS[name])
    with pytest.raises(InputError, match="holds dictionaries in dictionaries without an end"):
        open_vectors(tmp_path / "x.pt", "base")


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    bits = (X.view(np.uint32) >> 16).astype(np.uint16)
    save(tmp_path / "x.pt", {"emb": bits})
    found = open_vectors(tmp_path / "x.pt", "base")
    np.testing.assert_array_equal(found.read(0, 40), (bits.astype(np.uint32) << 16).view(np.float32))
    transposed = tensor("BFloat16", "0", (6, 40), stride=(1, 6))
    archive(tmp_path / "y.pt", transposed, bits.tobytes())
    np.testing.assert_array_equal(open_vectors(tmp_path / "y.pt", "base").read(0, 6), found.read(0, 40).T)


ONE = tensor("Float", "0", X.shape)
LAUGHS = b")" + b"".join(bytes([ord("q"), place, ord("h"), place, 0x86]) for place in range(100))
"""A tuple of two, each of two, a hundred deep."""
FOREIGN: dict[str, tuple[bytes, str]] = {
    "a function": (b"cposix\nsystem\n(" + text("touch ran") + b"tR", r"holds 'posix\.system', which is not"),
    "a class that is made": (b"ctorch.nn\nLinear\n)\x81}b", r"holds 'torch\.nn\.Linear'"),
    "an old instruction": (b"(" + text("touch ran") + b"iposix\nsystem\n", "holds the instruction INST"),
    "a name on the stack": (text("builtins") + text("eval") + b"\x93", r"holds 'builtins\.eval'"),
    "a storage that is called": (b"ctorch\nFloatStorage\n)R", "holds a call of what is no tensor"),
    "a list with a state": (b"]}b", "holds an object with a state of its own"),
    "a part of the columns": (
        tensor("Float", "0", (40, 3), n=240, stride=(6, 1)),
        r"of steps \(6, 1\): save it",
    ),
    "steps in a row": (tensor("Float", "0", (40, 3), n=240, stride=(3, 2)), r"of steps \(3, 2\): save it"),
    "whole numbers": (tensor("Long", "0", X.shape), r"dtype Long, .*x\.to\(torch\.float32\)"),
    "one number": (whole(3), r"holds no matrix \(n, d\): there is tensor number"),
    "a dimension too many": (tensor("Float", "0", (40, 3, 2)), r"holds no matrix \(n, d\): .* 40 x 3 x 2"),
}
DAMAGED: dict[str, bytes] = {
    "nothing": b"",
    "an end too early": ONE[:60],
    "more values than there are": tensor("Float", "0", (41, 6)),
    "a storage of other size": tensor("Float", "0", X.shape, n=241),
    "rows behind the storage": tensor("Float", "0", X.shape, offset=1),
    "steps out of the storage": tensor("Float", "0", (3, 3), n=240, stride=(10**6, 1)),
    "a side below 0": tensor("Float", "0", (-1, 6), n=240, stride=(6, 1)),
    "sides without steps": tensor("Float", "0", X.shape, stride=(6,)),
    "a storage of another name": tensor("Float", "../../secret", X.shape),
    "two values": ONE + ONE,
    "a place that was never kept": b"h\x07",
    "nothing to put in": b"]" + text("a") + ONE + b"s",
    "a key of tuples of tuples": b"}" + LAUGHS + b"Ns",
    "a name of tuples of tuples": LAUGHS + text("x") + b"\x93",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_tensor_is_told_and_not_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    listed, message = FOREIGN[name]
    archive(tmp_path / "x.pt", listed, X.tobytes() * (2 if "Long" in message else 1))
    with pytest.raises(InputError, match=message) as caught:
        open_vectors(tmp_path / "x.pt", "base")
    assert str(caught.value).startswith(str(tmp_path / "x.pt"))
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_told(name: str, tmp_path: Path) -> None:
    archive(tmp_path / "x.pt", DAMAGED[name], X.tobytes())
    with pytest.raises(InputError, match=r"is a damaged or truncated torch file: .* with torch\.save"):
        open_vectors(tmp_path / "x.pt", "base")


def test_values_that_are_packed_or_locked_are_not_read_as_they_lie(tmp_path: Path) -> None:
    archive(tmp_path / "x.pt", ONE, X.tobytes(), kind=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="damaged or truncated torch file"):
        open_vectors(tmp_path / "x.pt", "base")
    archive(tmp_path / "y.pt", ONE, X.tobytes())
    content = (tmp_path / "y.pt").read_bytes()
    (tmp_path / "y.pt").write_bytes(
        content.replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0")
    )
    with pytest.raises(InputError, match="damaged or truncated torch file"):
        open_vectors(tmp_path / "y.pt", "base")


def test_a_list_that_is_no_list_of_tensors_by_its_size_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_file, "MOST_PICKLED", 100)
    archive(tmp_path / "x.pt", ONE, X.tobytes())
    with pytest.raises(InputError, match=r"a list of 1\d\d bytes beside its tensors"):
        open_vectors(tmp_path / "x.pt", "base")


def test_values_whose_sign_is_turned_when_they_are_read_are_refused(tmp_path: Path) -> None:
    """Torch lists them so: where the values lie, and that each is to be negated."""
    marked = ONE.removesuffix(b"tR") + b"}" + text("neg") + b"\x88stR"
    archive(tmp_path / "x.pt", marked, X.tobytes())
    with pytest.raises(InputError, match="a tensor whose values are not as they are stored"):
        open_vectors(tmp_path / "x.pt", "base")


def test_no_instruction_makes_what_is_no_plain_value() -> None:
    assert not STEPS.keys() & {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "PERSID", "EXT1", "EXT2", "EXT4"}
