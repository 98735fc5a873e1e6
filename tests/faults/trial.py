"""What a fault is to pytest and to the campaign: a function of a trial, with a name and a number of times."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Function = Callable[["Trial"], None]


@dataclass
class Trial:
    """One provocation. It is told what was lost and how long recovery took; what violates a promise it asserts."""

    rng: random.Random
    folder: Path
    """Empty, and its own."""
    homes: int = 2
    """How many homes a trial of the relays' safety has; each of them counts as one time."""
    brief: bool = True
    """Under pytest: what the campaign does at length is done once."""
    times: int = 1
    """How often the fault was provoked."""
    lost: int = 0
    """Messages, or what else it counts, that are gone and may be."""
    recoveries: list[float] = field(default_factory=list)
    """Seconds from the end of the fault (or from the cause to OFF, for relays) to all being well."""
    bounds: list[float] = field(default_factory=list)
    """What each of these may be."""
    stack: ExitStack = field(default_factory=ExitStack)

    def enter(self, manager: AbstractContextManager[T]) -> T:
        """Have something closed at the end of the trial."""
        return self.stack.enter_context(manager)

    def recovered(self, seconds: float, within_s: float) -> None:
        """It took so long, and may take `within_s`."""
        self.recoveries.append(seconds)
        self.bounds.append(within_s)
        assert seconds <= within_s, f"recovered in {seconds:.2f} s, at most {within_s:.2f} s are promised"


@dataclass(frozen=True)
class Fault:
    """A fault that can be provoked."""

    name: str
    function: Function
    times: int
    """How often the campaign provokes it where nothing else is said."""

    @property
    def sentence(self) -> str:
        return self.function.__name__.removeprefix("test_").replace("_", " ")


FAULTS: dict[str, Fault] = {}
"""All of them, by name, in the order of the modules."""


def fault(name: str, times: int = 5) -> Callable[[Function], Function]:
    """Make a test of a `trial` a fault of the campaign."""

    def register(function: Function) -> Function:
        assert name not in FAULTS or FAULTS[name].function.__qualname__ == function.__qualname__, name
        FAULTS[name] = Fault(name, function, times)
        return function

    return register
