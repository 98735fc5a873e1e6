"""The alerts service of a running installation: tells the log, and keeps what the disk does not take for later."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from solarflow.errors import StoreError
from solarflow.store.alerts import Alerts

log = logging.getLogger("solarflow")

WAITING_KEPT = 10_000


class _Waiting(NamedTuple):
    """An alert that opened or closed and could not be written."""

    opens: bool
    home: str
    code: str
    parameters: Mapping[str, Any]
    now: float


class ToldAlerts:
    """The store's alerts, with a line in the log for each that begins or ends.

    A full disk must not end what a node is doing (and with it what it does for all other homes): what cannot be
    written waits in memory, in its order, at most 10,000 entries, and `retry` writes it later.
    """

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._open = {(alert.home, alert.code) for alert in alerts.open_alerts()}
        self._waiting: deque[_Waiting] = deque()
        self.lost = 0
        """Changes that were given up because too many waited."""

    @property
    def waiting(self) -> int:
        """Changes that are not written yet."""
        return len(self._waiting)

    def open(self, home: str, code: str, parameters: Mapping[str, Any], now: float) -> int:
        """Open an alert; see `AlertsService`. 0 while it cannot be written."""
        if (home, code) not in self._open:
            self._open.add((home, code))
            log.warning("%s  ALERT %s: %s", home, code, _shown(parameters))
        elif self._waiting:
            return 0
        return self._try(_Waiting(True, home, code, dict(parameters), now))

    def close(self, home: str, code: str, now: float, parameters: Mapping[str, Any] | None = None) -> bool:
        """Close an alert; see `AlertsService`."""
        if (home, code) not in self._open:
            return False
        self._open.discard((home, code))
        log.warning("%s  all clear: %s", home, code)
        self._try(_Waiting(False, home, code, dict(parameters or {}), now))
        return True

    def event(self, kind: str, home: str, parameters: Mapping[str, Any], now: float) -> None:
        """Append an event; see `AlertsService`."""
        self._alerts.event(kind, home, parameters, now)

    def retry(self) -> None:
        """Write what waits. Raises StoreError where that still fails; then it waits on."""
        while self._waiting:
            self._write(self._waiting[0])
            self._waiting.popleft()

    def _try(self, change: _Waiting) -> int:
        if not self._waiting:  # else after those before it
            try:
                return self._write(change)
            except StoreError as error:
                log.error("an alert cannot be written now, it is kept in memory: %s", error)
        if len(self._waiting) >= WAITING_KEPT:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(change)
        return 0

    def _write(self, change: _Waiting) -> int:
        if change.opens:
            return self._alerts.open(change.home, change.code, change.parameters, change.now)
        self._alerts.close(change.home, change.code, change.now, change.parameters)
        return 0


def _shown(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_figure(value)}" for name, value in parameters.items())


def _figure(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if value > 1e9:  # no measurement is as large: a moment
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{value:.4g}"
