"""What a mean owes to its own luck is taken off: on average the rest is what new queries find."""

import numpy as np

from tuner.sweep.flattery import flattery


def cheapest(seconds: object) -> int:
    return int(np.argmin(np.asarray(seconds)))


def certified_seconds(shares: np.ndarray) -> list[float]:
    """Seconds at an ef_search that is chosen so that misses are .05: an unlucky index needs the more."""
    return [float(np.exp((0.95 - mean) / 0.05)) for mean in shares.mean(axis=1)]


def test_the_luckiest_of_equals_is_flattered_and_the_rest_is_true() -> None:
    rng, n, true = np.random.default_rng(0), 400, 0.95
    plain, fitted = [], []
    for _ in range(300):
        shares = rng.binomial(10, true, (8, n)) / 10
        seconds = certified_seconds(shares)
        chosen = cheapest(seconds)
        mean = float(shares[chosen].mean())
        plain.append(mean - true)
        fitted.append(mean - flattery(shares, seconds, rng.permutation(n), cheapest) - true)
    error = float(np.std(fitted)) / 300**0.5
    assert np.mean(plain) > 0.003
    assert abs(np.mean(fitted)) < 0.001 + 3 * error


def test_an_index_without_rivals_is_hardly_flattered() -> None:
    shares = np.random.default_rng(1).binomial(10, 0.95, (1, 500)) / 10
    assert flattery(shares, [1.0], np.arange(500), cheapest) < 1e-9
    clear = np.random.default_rng(2).binomial(10, 0.95, (2, 500)) / 10
    assert flattery(clear, [1.0, 9.0], np.arange(500), cheapest) < 1e-9
