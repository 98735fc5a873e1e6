"""Gives a fresh data folder a past: recorded or simulated readings run through the flows in virtual time.

The store and the kept state of every node are then what they would be had the installation run all along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from solarflow.offline import OfflineHttp
from solarflow.plan import Plan
from solarflow.registry import Registry
from solarflow.replay.course import Course, VirtualBroker
from solarflow.replay.recording import Reading
from solarflow.services import Services
from solarflow.store import DataFolder
from solarflow.store.homes import Home

COMMIT_EVERY_S = 6 * 3600.0


def prime(
    data: Path,
    registry: Registry,
    plan: Plan,
    homes: Iterable[Mapping[str, Any]],
    readings: Iterable[tuple[float, str, Mapping[str, Any]]],
    start: float,
    end: float,
    progress: Callable[[float], None] = lambda _share: None,
) -> int:
    """Run `readings` (ts, topic, payload; in order) through `plan` and save into the data folder; how many there were.

    What the flows publish goes nowhere; their alerts and state are kept. `start` and `end` are UTC seconds, `progress`
    hears the share that is done. Raises StoreError where the folder cannot be used.
    """
    broker = VirtualBroker(lambda _message: None, returns=False)
    with DataFolder(data) as folder:
        for home in homes:
            folder.homes.save(Home.model_validate(home))
        services = Services(
            mqtt=broker, http=OfflineHttp(), store=folder.telemetry, homes=folder.homes, alerts=folder.alerts,
            settings=plan.settings,
        )  # fmt: skip
        course = Course(registry, services, broker, start)
        course.engine.restore(folder.telemetry.load_state())
        course.deploy(plan)

        def saved_now_and_then() -> Iterator[Reading]:
            commit_at = start + COMMIT_EVERY_S
            for ts, topic, payload in readings:
                if ts >= commit_at:
                    course.advance_to(ts)
                    course.engine.checkpoint(folder.commit)
                    commit_at += COMMIT_EVERY_S
                    progress((ts - start) / (end - start))
                yield ts, topic, payload, False

        course.feed(saved_now_and_then())
        course.advance_to(end)
        course.engine.checkpoint(folder.commit)
    return course.readings
