"""What is left of a run: a guess at its start, corrected by what its stages really take."""

from __future__ import annotations

import time
from collections.abc import Callable

from tuner.types import ExpectedStage

PRIOR = 0.08
"""Weight of the guess at the start, as a share of the whole: when as much is done, it counts for half."""
SURE = 0.3
"""Share of a stage from which on its own rate alone says what is left of it."""
LEAST_LEFT = 0.1
"""Share that is left at least of a stage that takes longer than expected."""
CACHED = 0.2
"""Share of what was expected below which a stage came from a cache, and tells nothing of others."""


class Remaining:
    """Tells what is left of a run from its expected stages and the events of the real ones.

    Args:
        stages: what was expected, in order.
        clock: seconds of the wall.

    Example:
        >>> left = Remaining((ExpectedStage("a", 10.0), ExpectedStage("b", 30.0)), clock=lambda: 0.0)
        >>> left.seconds()
        40.0
        >>> left.start("a")
        >>> left.finish("a", 20.0)  # the machine is half as fast as was thought
        >>> left.start("b")
        >>> 50 < left.seconds() < 60
        True
    """

    def __init__(
        self, stages: tuple[ExpectedStage, ...], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.stages, self.clock = stages, clock
        self._at, self._steady = -1, True
        self._began_s: float | None = None
        self._share = self._here_s = 0.0
        self._spent_s = self._expected_s = 0.0

    @property
    def position(self) -> int:
        """Number of the stage that runs, from 1 on; 0 before the first."""
        return self._at + 1

    def start(self, name: str) -> None:
        """A stage begins; those before it are over."""
        self._reach(name)
        self._began_s, self._share = self.clock(), 0.0

    def advance(self, share: float) -> None:
        """A share in [0, 1] of the stage that runs is done."""
        self._share = share

    def finish(self, name: str, wall_s: float) -> None:
        """A stage has ended; one that came from an earlier run took no seconds now."""
        self._reach(name)
        self._began_s, self._share = None, 1.0
        self._here_s += wall_s

    def seconds(self) -> float:
        """Return the wall seconds that are left."""
        slow = self.slowness()
        later = slow * sum(each.wall_s for each in self.stages[self._at + 1 :])
        if self._at < 0:
            return later
        whole_s = slow * self.stages[self._at].wall_s
        ran_s, share = self._here_s + self._ran_s(), self._share
        if not self._steady:
            return later + max(whole_s - ran_s, LEAST_LEFT * whole_s)
        guessed = max(whole_s - ran_s, LEAST_LEFT * whole_s) * (1 - share)
        by_rate = ran_s / share * (1 - share) if share > 0 else guessed
        weight = min(1.0, share / SURE)
        return later + weight * by_rate + (1 - weight) * guessed

    def slowness(self) -> float:
        """Return how many times longer stages take than was expected, by what is done so far."""
        prior_s = PRIOR * sum(each.wall_s for each in self.stages)
        spent, expected = self._spent_s + prior_s, self._expected_s + prior_s
        if self._at >= 0 and self._steady and self._began_s is not None and self._share >= SURE:
            spent += self._ran_s()
            expected += self._share * self.stages[self._at].wall_s
        return spent / expected if expected else 1.0

    def rate(self) -> tuple[float, str] | None:
        """Return units a second of the stage that runs and what they are, or None where it has none."""
        ran_s = self._ran_s()
        if self._at < 0 or not ran_s or not self._share or not self.stages[self._at].n_units:
            return None
        return self._share * self.stages[self._at].n_units / ran_s, self.stages[self._at].unit

    def _ran_s(self) -> float:
        return 0.0 if self._began_s is None else self.clock() - self._began_s

    def _reach(self, name: str) -> None:
        """Go to the stage of that name, or to the group that its name begins with."""
        found = self._find(name)
        if found is None or found == self._at:
            return
        if self._at >= 0:
            expected = self.stages[self._at].wall_s
            if self._here_s > CACHED * expected * self.slowness():
                self._spent_s += self._here_s
                self._expected_s += expected
        self._at, self._here_s = found, 0.0
        stage = self.stages[found]
        self._steady = stage.steady and name == stage.name  # nobody knows how many there are in a group

    def _find(self, name: str) -> int | None:
        for wanted in (name, name.partition("-")[0]):
            for i in range(max(0, self._at), len(self.stages)):
                if self.stages[i].name == wanted:
                    return i
        return None
