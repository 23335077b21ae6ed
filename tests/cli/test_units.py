"""Sizes and durations mean what their units say."""

import click
import pytest

from tuner.cli.units import MemoryLimit, parse_duration, parse_shares, parse_size


@pytest.mark.parametrize(
    ("text", "total_bytes"),
    [
        ("2GB", 2_000_000_000),
        ("600MB", 600_000_000),
        ("600 mb", 600_000_000),
        ("1.5kB", 1_500),
        ("4096B", 4_096),
        ("1MiB", 1_048_576),
        ("2GiB", 2_147_483_648),
        (".5TB", 500_000_000_000),
        ("1TiB", 1 << 40),
        ("3KiB", 3_072),
    ],
)
def test_sizes(text: str, total_bytes: int) -> None:
    assert parse_size(text) == MemoryLimit(total_bytes=total_bytes)


@pytest.mark.parametrize(
    ("text", "each_bytes"), [("180B/vector", 180.0), ("0.5 kB / vector", 500.0), ("1KiB/vector", 1024.0)]
)
def test_sizes_a_vector(text: str, each_bytes: float) -> None:
    assert parse_size(text) == MemoryLimit(per_vector_bytes=each_bytes)


@pytest.mark.parametrize(
    "text",
    ["", "600", "GB", "2XB", "-2GB", "2GB/row", "1e9B", "two GB", "0B", "0.1B/vector", "nanB", "2 G B"],
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("400us", 400e-6),
        ("400µs", 400e-6),
        ("400\u03bcs", 400e-6),
        ("1.5ms", 1.5e-3),
        ("250ns", 250e-9),
        ("90s", 90),
        ("10m", 600),
        ("10 min", 600),
        ("1h", 3600),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize("text", ["", "400", "us", "-1s", "0s", "1d", "1h30m", "inf s", "5s/vector"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("50%,10%,2%,0.5%", (0.5, 0.1, 0.02, 0.005)),
        ("0.02, 50 %,.1", (0.5, 0.1, 0.02)),
        ("10%", (0.1,)),
        ("50", (50.0,)),  # refused where all options are checked
    ],
)
def test_shares(text: str, shares: tuple[float, ...]) -> None:
    assert parse_shares(text) == pytest.approx(shares, rel=1e-12)


@pytest.mark.parametrize("text", ["", "ten%", "10%,", "%", "10%%", "10;2"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 50%,10%"):
        parse_shares(text)
