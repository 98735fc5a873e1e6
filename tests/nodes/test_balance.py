import pytest


def test_surplus_is_production_minus_consumption(node):
    balance = node("balance")
    balance.feed({"produzione_w": 2500, "consumo_w": 700}, home="a")
    assert balance.last["payload"]["surplus_w"] == 1800
    assert balance.last["payload"]["export_w"] == 1800
    assert balance.last["payload"]["import_w"] == 0


def test_a_main_clamp_gives_the_consumption(node):
    balance = node("balance")
    balance.feed({"produzione_w": 2000, "rete_w": -500, "batteria_w": 300}, home="a")
    assert balance.last["payload"]["consumption_w"] == 1200


def test_what_the_battery_charges_is_no_surplus_when_it_goes_first(node):
    reading = {"produzione_w": 3000, "consumo_w": 1000, "batteria_w": 1500}
    first, last = node("balance"), node("balance", battery_first=False)
    first.feed(dict(reading), home="a")
    last.feed(dict(reading), home="a")
    assert first.last["payload"]["surplus_w"] == 500
    assert last.last["payload"]["surplus_w"] == 2000
    assert first.last["payload"]["export_w"] == last.last["payload"]["export_w"] == 500


def test_what_the_battery_discharges_is_no_surplus(node):
    balance = node("balance")
    balance.feed({"produzione_w": 500, "consumo_w": 1500, "batteria_w": -1000}, home="a")
    payload = balance.last["payload"]
    assert (payload["surplus_w"], payload["import_w"], payload["export_w"]) == (-1000, 0, 0)


def test_an_inverter_s_own_consumption_at_night_counts_as_nothing(node):
    balance = node("balance")
    balance.feed({"produzione_w": -8, "consumo_w": 200}, home="a")
    assert balance.last["payload"]["production_w"] == 0


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"produzione_w": -500, "consumo_w": 200}, "the production is -500 W; is the clamp the wrong way round?"),
        ({"produzione_w": 500, "consumo_w": -900}, "the consumption is -900 W; is the clamp the wrong way round?"),
        ({"produzione_w": 5e6, "consumo_w": 1}, "above the 100000 W that are possible here"),
        ({"produzione_w": 500}, "neither 'payload.consumo_w' nor 'payload.rete_w'"),
        ({"consumo_w": 500}, "the message has no 'payload.produzione_w'"),
        ({"produzione_w": True, "consumo_w": 1}, "'payload.produzione_w' is True, where a number is needed"),
    ],
)
def test_a_reading_that_cannot_be_is_an_error_that_says_why(node, payload, text):
    balance = node("balance")
    balance.feed(payload, home="a")
    assert balance.sent == []
    assert text in balance.errors[0]


def test_the_names_in_the_message_can_be_others(node):
    balance = node("balance", production="payload.pv", consumption="payload.load")
    balance.feed({"pv": 10, "load": 4}, home="a")
    assert balance.last["payload"]["surplus_w"] == 6
