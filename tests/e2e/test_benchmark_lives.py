"""Four homes on a real broker, one of them poor: its alert comes once, and its all-clear once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from running import Listener, Meters, Solarflow, home, until, with_both_brokers

from solarflow.store import DataFolder

HOMES = ("casa_A", "casa_B", "casa_C", "casa_D")
ALERT = "comunita/casa_D/alert"
SPEED = 7200
"""The shipped flow as it is: a young home is told after four hours of bad yield in good light, here two seconds."""


def test_a_poor_home_gets_one_alert_and_one_all_clear(tmp_path: Path, project: Path) -> None:
    with_both_brokers(tmp_path, project, _poor_for_some_hours)


def _poor_for_some_hours(broker: str, project: Path) -> None:
    homes = project / "homes.json"
    homes.write_text(json.dumps([home(ident) for ident in HOMES]))
    with (
        Solarflow(project, broker, "--speed", SPEED) as engine,
        Listener(engine.broker_port, "comunita/+/alert") as heard,
        Meters(engine.broker_port, interval_s=0.03) as meters,
    ):
        imported = engine.homes("import", homes)
        assert imported.stdout == "saved 4 homes\n", imported.stderr
        for ident in HOMES:
            meters[f"comunita/{ident}/produzione"] = {"potenza_w": 1500 if ident == "casa_D" else 2400}
        alert = heard.wait(ALERT, 30)
        assert alert.payload["alert"] == "performance_bassa"
        assert alert.payload["rapporto"] == 1500 / 2400
        begun = _dashboard(engine)["ts"]
        until(lambda: _dashboard(engine)["ts"] > begun + 3600, 10, "an hour of comparisons more")
        assert _dashboard(engine)["case"]["casa_D"]["low"]
        assert not _dashboard(engine)["case"]["casa_A"]["low"]

        meters["comunita/casa_D/produzione"] = {"potenza_w": 2300}
        clear = heard.wait(ALERT, 30, alert="performance_ok")
        engine.line("casa_D  ALERT low-yield")
        engine.line("casa_D  all clear: low-yield")
        engine.end()

        assert [message.payload["alert"] for message in heard.heard] == ["performance_bassa", "performance_ok"]
        assert clear.at - alert.at > 4 * 3600 / SPEED, "well for as long as it was low before"
    with DataFolder.read_only(engine.data) as reader:
        (kept,) = reader.alerts.recent()
        assert (kept.home, kept.code) == ("casa_D", "low-yield")
        assert kept.closed is not None


def _dashboard(engine: Solarflow) -> Any:
    answer = engine.ask("GET", "/api/dashboard/")
    assert answer.status == 200
    return answer.body
