"""The cache keeps below its limit, forgets what was not used for longest, and is emptied when asked to."""

import os
from pathlib import Path

import pytest
from gated import Run

from tuner.runtime.cache import CacheSize, cache_size, clear_cache, mark_used, trim_cache, truth_dir


@pytest.fixture
def files(cache_folder: Path) -> list[Path]:
    """Four files of 100 bytes, the first used longest ago, and one that is not the cache's."""
    truth_dir().mkdir(parents=True)
    found = [truth_dir() / name for name in ("a.npz", "b.npz", "c.tmp", "d.npz")]
    for number, path in enumerate(found):
        path.write_bytes(b"0" * 100)
        os.utime(path, (1000 + number, 1000 + number))
    (cache_folder / "locks").mkdir()
    (cache_folder / "locks" / "x.lock").touch()
    (truth_dir() / "notes.txt").write_text("mine")
    return found


def there(files: list[Path]) -> list[str]:
    return [path.name for path in files if path.exists()]


def test_what_was_not_used_for_longest_makes_room(files: list[Path]) -> None:
    assert cache_size() == CacheSize(4, 400)
    trim_cache(400)
    assert there(files) == ["a.npz", "b.npz", "c.tmp", "d.npz"]
    mark_used(files[0])
    trim_cache(250)
    assert there(files) == ["a.npz", "d.npz"]


def test_clearing_leaves_what_is_not_the_caches(files: list[Path]) -> None:
    assert clear_cache() == CacheSize(4, 400)
    assert there(files) == []
    assert cache_size() == CacheSize(0, 0)
    assert (truth_dir() / "notes.txt").read_text() == "mine"
    assert (truth_dir().parent / "locks" / "x.lock").exists()


def test_the_command_shows_the_folder_its_size_and_its_limit(
    files: list[Path], cache_folder: Path, run: Run
) -> None:
    code, out, _ = run("cache")
    assert code == 0
    assert out.startswith(f"{cache_folder}: 4 files, 400 B of at most 2 GB")
    assert run("cache", "--clear")[:2] == (0, f"{cache_folder}: removed 4 files, 400 B\n")
    assert there(files) == []
    assert run("cache", "--clear")[1] == f"{cache_folder}: removed 0 files, 0 B\n"
