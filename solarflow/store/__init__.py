"""The store: what homes measured, what nodes remember, who the homes are and what happened to them.

A data folder holds two SQLite files, told apart by what they promise:

- `telemetry.db`: series of samples with their hourly rollups, and the state of the engine. One transaction a second;
  a crash loses at most that second.
- `app.db`: homes, alerts and events. What was acknowledged survives a power cut.

`DataFolder` opens both for writing; `Reader` reads them from any other thread or process:

    with DataFolder("data") as folder:
        folder.telemetry.append("casa_A", "production_w", ts=1_720_000_000.0, value=1500.0)
        folder.commit()
        folder.telemetry.latest("casa_A", "production_w")   # (1720000000.0, 1500.0)
"""

from solarflow.store.alerts import Alert, AlertReader, Alerts, Event, EventReader, Events
from solarflow.store.changes import StateChanges
from solarflow.store.folder import DataFolder, Reader
from solarflow.store.homes import Home, Homes, Load, PendingHome
from solarflow.store.lock import Holder
from solarflow.store.series import Day, Hour, Hours, Series, SeriesReader
from solarflow.store.telemetry import RefusedSample, Telemetry

__all__ = [
    "Alert",
    "AlertReader",
    "Alerts",
    "DataFolder",
    "Day",
    "Event",
    "EventReader",
    "Events",
    "Holder",
    "Home",
    "Homes",
    "Hour",
    "Hours",
    "Load",
    "PendingHome",
    "Reader",
    "RefusedSample",
    "Series",
    "SeriesReader",
    "StateChanges",
    "Telemetry",
]
