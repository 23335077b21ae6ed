"""A finished stage is never done again, an unfinished one is done whole, another run's journal is refused."""

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import World, file_limit

from tuner.errors import InputError
from tuner.index.graph import DerivableGraph
from tuner.recall.truth import Truth
from tuner.runtime import journal as module
from tuner.runtime.journal import Journal, check_identity, cpu_seconds, write_atomically
from tuner.runtime.peak import peak_rss_bytes
from tuner.runtime.steps import Driver
from tuner.types import Ceiling, CurvePoint, Event, Progress, StageFinished, StageStarted, Steps

IDENTITY = {"data": "abc", "options": "recall=0.95"}


@dataclass
class Work:
    """Counts how often it is begun and finished."""

    result: Any
    begun: int = 0
    finished: int = 0

    def __call__(self) -> Steps[Any]:
        self.begun += 1
        yield 0.5
        yield 1.0
        self.finished += 1
        return self.result


def _drain(stage: Generator[Event, None, Any]) -> tuple[list[Event], Any]:
    driver = Driver(stage)
    return list(driver), driver.result


def test_a_stage_tells_its_progress_and_keeps_its_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, cpu = iter([10.0, 12.5]), iter([3.0, 3.75])
    monkeypatch.setattr("tuner.runtime.journal.time.perf_counter", lambda: next(wall))
    monkeypatch.setattr(module, "cpu_seconds", lambda: next(cpu))
    journal = Journal(tmp_path / "journal", IDENTITY, resume=False)
    events, value = _drain(journal.stage("truth", "exact neighbours", int, Work(7)))
    assert value == 7
    assert events == [
        StageStarted("truth", "exact neighbours"),
        Progress("truth", 0.5),
        Progress("truth", 1.0),
        StageFinished("truth", "exact neighbours", 2.5, 0.75),
    ]
    assert [(cost.name, cost.wall_s, cost.cpu_s) for cost in journal.costs] == [("truth", 2.5, 0.75)]


def test_resuming_does_only_what_is_missing(tmp_path: Path) -> None:
    first, second, third = Work(1), Work(2), Work(3)
    journal = Journal(tmp_path, IDENTITY, resume=False)
    _drain(journal.stage("a", "A", int, first))
    killed = journal.stage("b", "B", int, second)
    assert [next(killed), next(killed)] == [StageStarted("b", "B"), Progress("b", 0.5)]
    killed.close()
    (tmp_path / "b.stage.partial").write_bytes(b"half of it")

    again = Journal(tmp_path, IDENTITY, resume=True)
    assert [
        _drain(again.stage(name, name, int, work))[1]
        for name, work in zip("abc", (first, second, third), strict=True)
    ] == [1, 2, 3]
    assert [(work.begun, work.finished) for work in (first, second, third)] == [(1, 1), (2, 1), (1, 1)]
    assert [cost.name for cost in again.costs] == ["a", "b", "c"]
    assert again.costs[0] == journal.costs[0]

    events, _ = _drain(Journal(tmp_path, IDENTITY, resume=True).stage("a", "A", int, first))
    assert events == [StageFinished("a", "A", journal.costs[0].wall_s, journal.costs[0].cpu_s, resumed=True)]


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    work = Work(1)
    _drain(Journal(tmp_path, IDENTITY, resume=False).stage("a", "A", int, work))
    (tmp_path / "links.partial").write_bytes(b"")
    (tmp_path / "mine.txt").write_text("not the journal's")
    journal = Journal(tmp_path, {"data": "other"}, resume=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.json", "mine.txt"]
    _drain(journal.stage("a", "A", int, work))
    assert work.finished == 2


def test_a_failing_stage_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> Steps[int]:
        yield 0.5
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        _drain(Journal(tmp_path, IDENTITY, resume=False).stage("a", "A", int, fails))
    assert [path.name for path in tmp_path.iterdir()] == ["journal.json"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"data": "abc", "options": "recall=0.9"}, "of another run (different options)"),
        ({"data": "x", "options": "y"}, "(different data, options)"),
        ({"data": "abc"}, "(different options)"),
        ({**IDENTITY, "seed": "1"}, "(different seed)"),
    ],
)
def test_the_journal_of_another_run_is_refused(tmp_path: Path, found: dict[str, str], words: str) -> None:
    Journal(tmp_path, found, resume=False)
    with pytest.raises(InputError) as refused:
        Journal(tmp_path, IDENTITY, resume=True)
    assert words in str(refused.value)
    check_identity(tmp_path / "journal.json", found)


def test_no_journal_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no journal of an earlier run to resume; run without --resume"):
        Journal(tmp_path, IDENTITY, resume=True)


@pytest.mark.parametrize("content", [b"", b'{"data": "ab', b"[1]", b'{"data": 1}', b"\x00\xff"])
def test_a_damaged_journal_is_said_to_be_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal.json").write_bytes(content)
    with pytest.raises(InputError, match=r"journal\.json: the journal is damaged; run without --resume"):
        Journal(tmp_path, IDENTITY, resume=True)


@pytest.mark.parametrize("damage", ["empty", "half", "less a byte", "text", "another type", "another shape"])
def test_a_damaged_stage_is_done_again(tmp_path: Path, damage: str) -> None:
    journal = Journal(tmp_path, IDENTITY, resume=False)
    path = tmp_path / "a.stage"
    _drain(journal.stage("a", "A", np.ndarray, Work(np.arange(9).reshape(3, 3))))
    whole = path.read_bytes()
    if damage == "another type":
        _drain(journal.stage("b", "B", int, Work(3)))
        (tmp_path / "b.stage").replace(path)
    else:
        path.write_bytes(
            {
                "empty": b"",
                "half": whole[: len(whole) // 2],
                "less a byte": whole[:-1],
                "text": b"no stage at all",
                "another shape": whole.replace(b"\x92\x03\x03", b"\x92\x04\x03"),
            }[damage]
        )
    assert path.read_bytes() != whole
    again = Work(np.array([7]))
    resumed = Journal(tmp_path, IDENTITY, resume=True)
    events, value = _drain(resumed.stage("a", "A", np.ndarray, again))
    assert value.tolist() == [7]
    assert again.finished == 1
    assert events[0] == StageStarted("a", "A")
    assert [cost.name for cost in resumed.costs] == ["a"]
    _, kept = _drain(Journal(tmp_path, IDENTITY, resume=True).stage("a", "A", np.ndarray, again))
    assert kept.tolist() == [7]
    assert again.finished == 1


@pytest.mark.parametrize("left", [None, b"", b"12", b"123"])
def test_a_stage_whose_side_file_is_gone_or_cut_is_done_again(tmp_path: Path, left: bytes | None) -> None:
    side = tmp_path / "side"
    work = Work(3)

    def writes() -> Steps[int]:
        size = yield from work()
        side.write_bytes(b"123"[:size])
        return int(size)

    def resumed() -> list[bool]:
        stage = Journal(tmp_path, IDENTITY, resume=True).stage(
            "a", "A", int, writes, intact=lambda size: side.exists() and side.stat().st_size == size
        )
        events, value = _drain(stage)
        assert value == 3
        return [event.resumed for event in events if isinstance(event, StageFinished)]

    _drain(Journal(tmp_path, IDENTITY, resume=False).stage("a", "A", int, writes))
    side.unlink()
    if left is not None:
        side.write_bytes(left)
    whole = left == b"123"
    assert resumed() == [whole]
    assert work.finished == (1 if whole else 2)
    assert side.read_bytes() == b"123"
    assert resumed() == [True]


# ---------------------------------------------------------------- what comes back


def _there_and_back(folder: Path, kind: Any, value: Any) -> Any:
    _drain(Journal(folder, IDENTITY, resume=False).stage("a", "A", kind, Work(value)))
    return _drain(Journal(folder, IDENTITY, resume=True).stage("a", "A", kind, Work(None)))[1]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 3),
        (tuple[CurvePoint, ...], (CurvePoint(M=8, ef_search=20, recall=0.9, ndis_per_query=301.5),)),
        (dict[str, bytes], {"SQ8@none28": b"\x00\xff"}),
        (
            Ceiling,
            Ceiling(
                codec="SQ8",
                dims=28,
                cut="pca",
                code_bytes=32,
                recall_at={1: 0.9, 4: 1.0},
                train_s=0.5,
                recall_with={"fp16": {4: 0.99}},
            ),
        ),
    ],
)
def test_plain_results_come_back_equal(tmp_path: Path, kind: Any, value: Any) -> None:
    found = _there_and_back(tmp_path, kind, value)
    assert type(found) is type(value)
    assert found == value


def test_numpy_numbers_come_back_as_numbers(tmp_path: Path) -> None:
    assert _there_and_back(tmp_path, tuple[float, int], (np.float64(0.25), np.int64(3))) == (0.25, 3)


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "uint8"])
def test_arrays_come_back_with_their_dtype_and_shape(tmp_path: Path, dtype: str) -> None:
    value = np.arange(24).reshape(2, 3, 4).astype(dtype)[:, ::2]
    found = _there_and_back(tmp_path, np.ndarray, value)
    assert found.dtype == value.dtype
    np.testing.assert_array_equal(found, value)


def test_truth_and_links_come_back_equal(tmp_path: Path, world: Callable[..., World]) -> None:
    one = world("l2")
    truth = _there_and_back(tmp_path, Truth, one.truth)
    np.testing.assert_array_equal(truth.ids, one.truth.ids)
    np.testing.assert_array_equal(truth.kth_distance, one.truth.kth_distance)
    links = _there_and_back(tmp_path, DerivableGraph, one.links)
    for name in ("order", "levels", "upper"):
        np.testing.assert_array_equal(getattr(links, name), getattr(one.links, name))
        assert getattr(links, name).dtype == np.int32
    for name in ("M", "ef_construction", "width", "entry_point", "max_level", "mean_degree"):
        assert getattr(links, name) == getattr(one.links, name)


def test_what_cannot_be_kept_is_refused_and_leaves_no_stage(tmp_path: Path) -> None:
    journal = Journal(tmp_path, IDENTITY, resume=False)
    with pytest.raises(NotImplementedError, match="a stage cannot keep"):
        _drain(journal.stage("a", "A", object, Work(object())))
    assert not list(tmp_path.glob("a.stage*"))


# ---------------------------------------------------------------- files and clocks


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_the_clock_counts_cpu_and_the_peak_is_in_bytes() -> None:
    before = cpu_seconds()
    while cpu_seconds() == before:
        sum(range(10_000))
    assert np.ones(4 << 20).sum() == 4 << 20  # 32 MB touched
    assert 32 << 20 < peak_rss_bytes() < 1 << 40


def test_a_file_is_on_the_disk_before_its_name_is_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, replace = [], Path.replace

    def synced(fd: int) -> None:
        seen.append(Path(f"/proc/self/fd/{fd}").readlink().name)

    def replaced(self: Path, to: Path) -> Path:
        seen.append(f"{self.name} -> {to.name}")
        return replace(self, to)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_atomically(tmp_path / "x", b"new")
    assert seen == ["x.partial", "x.partial -> x", tmp_path.name]


def test_a_failed_write_names_its_file_and_leaves_nothing_unfinished(tmp_path: Path) -> None:
    with file_limit(2), pytest.raises(OSError, match="too large") as caught:
        write_atomically(tmp_path / "x", b"new")
    assert caught.value.filename == str(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
