"""Alerts have one episode at a time; events are appended and bounded."""

from __future__ import annotations

from solarflow.store import Alerts, DataFolder, Events

NOON = 1_720_000_800.0


def test_an_alert_that_is_open_is_not_opened_again(folder: DataFolder) -> None:
    first = folder.alerts.open("casa_A", "performance_bassa", {"rapporto": 0.5}, NOON)
    again = folder.alerts.open("casa_A", "performance_bassa", {"rapporto": 0.4}, NOON + 300)
    assert again == first
    (alert,) = folder.alerts.open_alerts()
    assert (alert.opened, alert.parameters, alert.closed) == (NOON, {"rapporto": 0.5}, None)


def test_homes_and_codes_have_alerts_of_their_own(folder: DataFolder) -> None:
    for home, code in (("casa_A", "x"), ("casa_A", "y"), ("casa_B", "x")):
        folder.alerts.open(home, code, {}, NOON)
    assert [(alert.home, alert.code) for alert in folder.alerts.open_alerts()] == [
        ("casa_A", "x"),
        ("casa_A", "y"),
        ("casa_B", "x"),
    ]


def test_a_closed_alert_stays_in_the_record_and_the_next_one_is_another_episode(folder: DataFolder) -> None:
    first = folder.alerts.open("casa_A", "x", {}, NOON)
    assert folder.alerts.close("casa_A", "x", NOON + 60, {"rapporto": 0.95})
    assert folder.alerts.open_alerts() == []
    second = folder.alerts.open("casa_A", "x", {}, NOON + 120)
    assert second != first
    assert [(alert.id, alert.closed, alert.closing_parameters) for alert in folder.alerts.recent()] == [
        (second, None, {}),
        (first, NOON + 60, {"rapporto": 0.95}),
    ]
    assert len(folder.alerts.recent(limit=1)) == 1


def test_closing_what_is_not_open_says_so(folder: DataFolder) -> None:
    assert folder.alerts.close("casa_A", "x", NOON) is False
    folder.alerts.open("casa_A", "x", {}, NOON)
    assert folder.alerts.close("casa_A", "x", NOON) is True
    assert folder.alerts.close("casa_A", "x", NOON) is False


def test_an_open_alert_is_still_open_after_a_restart(tmp_path) -> None:
    with DataFolder(tmp_path) as folder:
        first = folder.alerts.open("casa_A", "x", {}, NOON)
    with DataFolder(tmp_path) as folder:
        assert folder.alerts.open("casa_A", "x", {}, NOON + 60) == first
        assert folder.alerts.close("casa_A", "x", NOON + 90)


def test_another_thread_or_program_reads_alerts_and_events(folder: DataFolder) -> None:
    folder.alerts.open("casa_A", "x", {"a": 1}, NOON)
    folder.alerts.event("relay", "casa_A", {"stato": "ON"}, NOON)
    folder.commit()
    with folder.reader() as reader:
        assert reader.alerts.open_alerts() == folder.alerts.open_alerts()
        assert reader.events.recent() == folder.events.recent()


def test_the_record_of_closed_alerts_is_bounded_and_open_ones_stay(folder: DataFolder) -> None:
    alerts = Alerts(folder.alerts.connection, folder.events, kept=3)
    alerts.open("casa_old", "x", {}, NOON - 1)
    for number in range(5):
        alerts.open("casa_A", "x", {}, NOON + number)
        alerts.close("casa_A", "x", NOON + number)
    assert [(alert.home, alert.opened - NOON) for alert in alerts.recent()] == [
        ("casa_A", 4),
        ("casa_A", 3),
        ("casa_A", 2),
        ("casa_old", -1),
    ]


def test_events_come_newest_first_and_by_kind_and_home(folder: DataFolder) -> None:
    for kind, home in (("relay", "casa_A"), ("relay", "casa_B"), ("deploy", "")):
        folder.events.append(kind, home, {"n": 1}, NOON)
        folder.commit()
    assert [(event.kind, event.home) for event in folder.events.recent()] == [
        ("deploy", ""),
        ("relay", "casa_B"),
        ("relay", "casa_A"),
    ]
    assert [event.home for event in folder.events.recent(kind="relay", limit=1)] == ["casa_B"]
    assert [event.kind for event in folder.events.recent(home="casa_A")] == ["relay"]


def test_events_are_bounded_on_disk_and_while_they_wait(folder: DataFolder) -> None:
    events = Events(folder.events.connection, kept=3)
    for number in range(10):
        events.append("relay", "casa_A", {"number": number}, NOON)
        if number == 2:
            events.flush()
    events.flush()
    assert [event.parameters["number"] for event in events.recent()] == [9, 8, 7]
