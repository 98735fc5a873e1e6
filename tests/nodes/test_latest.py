def test_the_last_message_of_each_item_is_given_to_whoever_asks(node):
    latest = node("latest", item="relay")
    latest.feed({"stato": "ON"}, home="a", relay="1")
    latest.feed({"stato": "ON"}, home="a", relay="2")
    latest.feed({"stato": "OFF"}, home="a", relay="1")
    latest.feed({"stato": "ON"}, home="b", relay="1")
    assert latest.sent == []
    latest.input({"home": "a", "req": {}})
    assert latest.last["payload"] == {"1": {"stato": "OFF"}, "2": {"stato": "ON"}}


def test_without_a_home_all_are_given(node):
    latest = node("latest")
    latest.feed(1, home="a")
    latest.feed(2, home="b")
    latest.input({"req": {}})
    assert latest.last["payload"] == {"a": 1, "b": 2}


def test_a_home_of_which_nothing_is_known_gets_nothing(node):
    latest, items = node("latest"), node("latest", item="relay")
    latest.input({"home": "a", "req": {}})
    items.input({"home": "a", "req": {}})
    assert (latest.last["payload"], items.last["payload"]) == (None, {})


def test_a_command_that_has_run_out_is_gone_also_after_a_restart(node):
    latest = node("latest", item="relay", ttl="ttl_s")
    latest.feed({"stato": "ON", "ttl_s": 300}, home="a", relay=1)
    latest.restart(down_s=120)
    latest.input({"home": "a", "req": {}})
    assert latest.last["payload"] == {"1": {"stato": "ON", "ttl_s": 180}}
    latest.restart(down_s=180)
    latest.input({"home": "a", "req": {}})
    assert latest.last["payload"] == {}


def test_what_is_too_old_is_forgotten(node):
    latest = node("latest", max_age_s=60)
    latest.feed(1, home="a")
    latest.input({"home": "a", "req": {}}, t=61)
    assert latest.last["payload"] is None


def test_who_asks_cannot_change_what_is_remembered(node):
    latest = node("latest")
    latest.feed({"n": 1}, home="a")
    latest.input({"home": "a", "req": {}})
    latest.last["payload"]["n"] = 2
    latest.input({"home": "a", "req": {}})
    assert latest.last["payload"] == {"n": 1}


def test_a_message_without_its_item_or_with_a_broken_time_to_live_says_so(node):
    latest = node("latest", item="relay", ttl="ttl_s")
    latest.feed({"stato": "ON"}, home="a")
    latest.feed({"ttl_s": "long"}, home="a", relay=1)
    assert latest.errors == [
        "the message has no 'relay', which tells the items of a home apart",
        "'payload.ttl_s' is 'long', where a number of seconds is needed",
    ]
