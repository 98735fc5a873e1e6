import pytest

from solarflow.testing import START

SAMPLES = [
    {"property": "payload.produzione_w", "quantity": "production_w", "minimum": -100, "maximum": 100000},
    {"property": "payload.consumo_w", "quantity": "consumption_w"},
]


def recorded(bench, quantity, home="a"):
    bench.store.commit()
    return [(ts - START, value) for ts, value in bench.store.samples(home, quantity, START - 1, START + 100_000)]


def test_each_property_goes_to_its_series_at_the_time_of_the_reading(node):
    record = node("record", samples=SAMPLES)
    record.feed({"produzione_w": 1500, "consumo_w": 400}, home="a", at=60, ts=START + 55)
    assert recorded(record, "production_w") == [(55, 1500)]
    assert recorded(record, "consumption_w") == [(55, 400)]


def test_what_is_missing_is_not_recorded_as_anything(node):
    record = node("record", samples=SAMPLES)
    record.feed({"produzione_w": 1500}, home="a")
    assert recorded(record, "consumption_w") == []
    assert record.errors == []


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"produzione_w": 999999, "consumo_w": 400}, "payload.produzione_w is 999999, outside -100 to 100000"),
        ({"produzione_w": "much", "consumo_w": 400}, "'payload.produzione_w' is 'much', where a number is needed"),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_the_others_are_kept(node, payload, text):
    record = node("record", samples=SAMPLES)
    record.feed(payload, home="a")
    assert text in record.errors[0]
    assert recorded(record, "production_w") == []
    assert recorded(record, "consumption_w") == [(0, 400)]


def test_a_message_with_none_of_the_properties_is_an_error(node):
    record = node("record", samples=SAMPLES)
    record.feed({"other": 1}, home="a")
    assert record.errors == ["the message has none of payload.produzione_w, payload.consumo_w"]


def test_history_reads_the_newest_sample(node):
    history = node("history", quantity="production_w", resolution="latest")
    history.store.append("a", "production_w", START - 60, 700)
    history.store.append("b", "production_w", START - 30, 900)
    history.store.commit()
    history.feed(None, home="a", topic="kept")
    assert history.last["payload"] == {"ts": START - 60, "value": 700}
    assert history.last["topic"] == "kept"


def test_history_reads_samples_or_hours_of_a_stretch_of_time(node):
    raw, hourly = node("history", resolution="raw", span_s=3600), node("history", span_s=7200)
    for bench in (raw, hourly):
        for minute in range(-120, 0, 30):
            bench.store.append("a", "production_w", START + minute * 60, 1000 + minute)
        bench.store.commit()
        bench.feed(None, home="a")
    assert [item["value"] for item in raw.last["payload"]] == [940, 970]
    assert [(item["value"], item["n"]) for item in hourly.last["payload"]] == [(895, 2), (955, 2)]


def test_history_gives_the_newest_of_too_many(node):
    history = node("history", resolution="raw", limit=2)
    for second in range(5):
        history.store.append("a", "production_w", START - 10 + second, second)
    history.store.commit()
    history.feed(None, home="a")
    assert [item["value"] for item in history.last["payload"]] == [3, 4]


def test_a_message_may_ask_for_another_series_and_time(node):
    history = node("history", resolution="raw")
    history.store.append("a", "consumption_w", START - 500, 1)
    history.store.append("a", "consumption_w", START - 300, 2)
    history.store.commit()
    history.input({"home": "a", "quantity": "consumption_w", "start": START - 600, "end": START - 400})
    assert [item["value"] for item in history.last["payload"]] == [1]


def test_a_time_that_is_none_is_an_error(node):
    history = node("history")
    history.input({"home": "a", "start": "yesterday"})
    assert history.errors == ["'start' is 'yesterday', where a time in UTC seconds is needed"]


def test_history_sees_nothing_of_the_future(node):
    history = node("history", resolution="latest")
    history.store.append("a", "production_w", START + 60, 700)
    history.store.commit()
    history.feed(None, home="a")
    assert history.last["payload"] is None
