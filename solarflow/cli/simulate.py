"""`solarflow simulate`: only the homes, towards any broker."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future
from datetime import datetime

import click

from solarflow.cli.common import SPEED, START_TIME, clock_of, wait_for_end
from solarflow.clock import Clock
from solarflow.energy.faults import Fault, parse_fault
from solarflow.errors import SolarFlowError
from solarflow.mqtt import BrokerOptions, Connection, State
from solarflow.simulation import Community

log = logging.getLogger("solarflow")


class Publishers:
    """A simulated community on a thread of its own, with one connection to a broker."""

    def __init__(self, community: Community, broker: BrokerOptions, clock: Clock, interval_s: float = 60.0) -> None:
        self.community = community
        self.state = ""
        self._broker = broker
        self._clock = clock
        self._interval_s = interval_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    def start(self) -> None:
        """Begin to connect and to publish. Raises UsageError where the broker's options cannot work."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(ready)), name="homes", daemon=True)
        self._thread.start()
        ready.result()

    def check_alive(self) -> None:
        """Raise SolarFlowError where the homes have ended by themselves."""
        if self._failure is not None:
            error = self._failure
            raise SolarFlowError(
                f"the simulated homes have ended by an error of their own: {type(error).__name__}: {error}"
            ) from error

    def stop(self) -> None:
        """Say goodbye and end."""
        if self._loop is not None and self._task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread is not None:
            self._thread.join(3)

    async def _main(self, ready: Future[None]) -> None:
        def told(state: State, reason: str) -> None:
            self.state = f"{state}: {reason}" if reason else str(state)

        try:
            connection = Connection(self._broker, told)
        except Exception as error:  # noqa: BLE001 - raised in `start`
            ready.set_exception(error)
            return
        connection.start()
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self.community.run(connection, self._clock, self._interval_s))
        ready.set_result(None)
        try:
            await self._task
        except asyncio.CancelledError:
            pass
        except Exception as error:
            log.exception("the simulated homes have ended")
            self._failure = error  # raised where somebody looks after them, in `check_alive`
        finally:
            await connection.stop()


@click.command(
    epilog="Example: solarflow simulate mqtt://127.0.0.1 --homes 40 --speed 60 --fault casa_03:degraded=0.65"
)
@click.argument("broker", default="mqtt://127.0.0.1:1883")
@click.option("--homes", default=12, show_default=True, help="How many homes.")
@click.option(
    "--speed", type=SPEED, default=1.0, show_default=True, help="How many seconds of the homes pass in a real one."
)
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same community.")
@click.option(
    "--interval", "interval_s", type=click.FloatRange(0, 86_400, min_open=True), default=60.0, show_default=True,
    help="Seconds between a home's readings.",
)  # fmt: skip
@click.option("--start", type=START_TIME, help="Begin at this UTC time.  [now]")
@click.option(
    "--fault", "faults", multiple=True, metavar="HOME:KIND[=VALUE][@HOURS]",
    help="A fault, HOURS after the start: soiling=PERCENT_PER_DAY, dead-inverter, degraded=FACTOR, silence, "
    "wrong-clock=HOURS. Repeatable.",
)  # fmt: skip
@click.option("--ts/--no-ts", "include_ts", default=False, help="Whether readings carry their time.")
def simulate(
    broker: str, homes: int, speed: float, seed: int, interval_s: float, start: datetime | None,
    faults: tuple[str, ...], include_ts: bool,
) -> None:  # fmt: skip
    """Simulate a community of homes that publish to BROKER and obey their relays."""
    clock = clock_of(speed, start)
    begin = clock.now()
    wanted: dict[str, list[Fault]] = {}
    for text in faults:
        home, fault = parse_fault(text, begin)
        wanted.setdefault(home, []).append(fault)
    community = Community(homes, seed, begin, faults=wanted, include_ts=include_ts, poor_home=None)
    options = BrokerOptions.from_url(broker)
    publishers = Publishers(community, options, clock, interval_s)
    publishers.start()
    click.echo(f"{homes} homes publish to {options.address} below comunita/, {speed:g} times real time (Ctrl-C ends)")
    shown = ""

    def look_after() -> None:
        nonlocal shown
        publishers.check_alive()
        if publishers.state != shown:
            shown = publishers.state
            click.echo(f"the connection is {shown}")

    try:
        wait_for_end(look_after)
    finally:
        publishers.stop()
