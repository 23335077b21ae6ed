"""Events of a running job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from tuner.types.results import Result


@dataclass(frozen=True)
class ExpectedStage:
    """A guess of what a stage, or all whose names begin with its name and a hyphen, will take.

    Attributes:
        name: name of the stage.
        wall_s: wall seconds.
        n_units: number of units that it works through; 0 where its share says more.
        unit: what a unit is, in the plural.
        steady: whether its share grows with time; the end of some stages is far faster than their beginning.
    """

    name: str
    wall_s: float
    n_units: int = 0
    unit: str = ""
    steady: bool = True


@dataclass(frozen=True)
class Estimated:
    """``wall_s`` is a guess of the whole run's wall seconds, made once at its beginning.

    Attributes:
        stages: the same, stage by stage, in their order; empty where only the whole is known.
    """

    wall_s: float
    stages: tuple[ExpectedStage, ...] = ()


@dataclass(frozen=True)
class StageStarted:
    """A stage begins."""

    name: str
    title: str


@dataclass(frozen=True)
class Progress:
    """``done`` is the share in [0, 1] of the stage ``name``."""

    name: str
    done: float
    detail: str = ""


@dataclass(frozen=True)
class StageFinished:
    """What the stage took; ``resumed`` where its result came from the journal of an earlier run."""

    name: str
    title: str
    wall_s: float
    cpu_s: float
    resumed: bool = False


@dataclass(frozen=True)
class Note:
    """A line for the user that is no result: the metric chosen, duplicates found."""

    text: str


@dataclass(frozen=True)
class Warned:
    """A doubt that the user should act on."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The last event of every sweep."""

    result: Result


Event: TypeAlias = Estimated | StageStarted | Progress | StageFinished | Note | Warned | Finished
