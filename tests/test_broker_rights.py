"""Every home reaches its own topics and nobody else's, and rights change while the broker runs.

Where a docstring says "stock", the same scenario was run against amqtt 0.12.1 as it comes, with the same rights in its
plugins, and fails there.
"""

from __future__ import annotations

import logging
from threading import Thread

import pytest
from embedded import BareClient, RunningBroker, packet, text, until

from solarflow.broker_rights import Rights, hash_secret, new_credential
from solarflow.errors import UsageError

USERS = {"casa_A": "token-a", "casa_B": "token-b", "engine": "token-e"}


@pytest.fixture
def homes():
    with RunningBroker(USERS) as running:
        yield running


def casa_a(broker: RunningBroker, client_id: str = "a", **options) -> BareClient:
    return BareClient(broker.port, client_id, "casa_A", "token-a", **options)


def casa_b(broker: RunningBroker, client_id: str = "b", **options) -> BareClient:
    return BareClient(broker.port, client_id, "casa_B", "token-b", **options)


def engine(broker: RunningBroker, client_id: str = "e", **options) -> BareClient:
    return BareClient(broker.port, client_id, "engine", "token-e", **options)


@pytest.fixture
def rights() -> Rights:
    rights = Rights()
    rights.set_user("casa_A", hash_secret("token-a"), "casa_A")
    rights.set_user("engine", hash_secret("token-e"))
    return rights


# --- the rules


@pytest.mark.parametrize(
    ("topic", "action", "allowed"),
    [
        ("comunita/casa_A", "publish", True),
        ("comunita/casa_A/produzione", "publish", True),
        ("comunita/casa_A/rele/1/set", "receive", True),
        ("comunita/casa_A/#", "subscribe", True),
        ("comunita/casa_A/+/set", "subscribe", True),
        ("comunita/casa_AB/produzione", "publish", False),
        ("comunita/casa_B/produzione", "publish", False),
        ("comunita/casa_B/#", "subscribe", False),
        ("comunita/+/x", "subscribe", False),
        ("comunita/#", "subscribe", False),
        ("+/casa_A/x", "subscribe", False),
        ("#", "subscribe", False),
        ("$share/g/comunita/casa_B/#", "subscribe", False),
        ("$SYS/#", "subscribe", False),
        ("other", "publish", False),
        ("", "publish", False),
    ],
)
def test_a_home_reaches_its_own_tree_only(rights, topic, action, allowed):
    assert rights.allowed("casa_A", topic, action) is allowed


@pytest.mark.parametrize(
    ("topic", "action", "allowed"),
    [
        ("comunita/casa_A/rele/1/set", "publish", True),
        ("#", "subscribe", True),
        ("anything/at/all", "receive", True),
        ("$SYS/x", "publish", False),
        ("a/+", "publish", False),
    ],
)
def test_the_engine_reaches_everything_but_what_nobody_may_publish(rights, topic, action, allowed):
    assert rights.allowed("engine", topic, action) is allowed


def test_an_unknown_user_may_do_nothing(rights):
    assert not rights.allowed("casa_Z", "comunita/casa_Z/x", "publish")


def test_a_home_s_tree_hangs_from_the_configured_root():
    rights = Rights(root="italia/lombardia")
    rights.set_user("h", hash_secret("t"), "h")
    assert rights.allowed("h", "italia/lombardia/h/x", "publish")
    assert not rights.allowed("h", "comunita/h/x", "publish")


def test_a_new_credential_is_the_home_and_128_random_bits():
    user, token = new_credential("casa_A")
    assert user == "casa_A"
    assert len(bytes.fromhex(token)) == 16
    assert new_credential("casa_A")[1] != token


def test_a_home_called_like_the_engine_s_user_gets_no_credential():
    with pytest.raises(UsageError, match="rename the home"):
        new_credential("engine")


def test_a_secret_is_right_or_wrong(rights):
    assert rights.verify("casa_A", "token-a")
    assert not rights.verify("casa_A", "token-e")
    assert not rights.verify("casa_A", hash_secret("token-a"))
    assert not rights.verify("casa_Z", "token-a")


def test_a_secret_is_kept_as_its_hash_only(rights):
    assert "token-a" not in repr(vars(rights))


def test_a_token_in_place_of_its_hash_is_refused_and_not_repeated(rights):
    with pytest.raises(UsageError, match="hash_secret") as refused:
        rights.set_user("casa_B", "my-token", "casa_B")
    assert "my-token" not in str(refused.value)


@pytest.mark.parametrize("home", ["", "+", "#", "a/b", "a|b", "$SYS", "a\0b", "a\n"])
def test_a_home_that_would_reach_beyond_one_topic_level_is_refused(rights, home):
    with pytest.raises(UsageError, match="cannot be a"):
        new_credential(home)
    with pytest.raises(UsageError, match="cannot be a"):
        rights.set_user("user", hash_secret("t"), home)
    with pytest.raises(UsageError, match="cannot be a"):
        rights.set_user(home, hash_secret("t"))


def test_users_are_listed_and_removed(rights):
    assert rights.users() == ["casa_A", "engine"]
    rights.remove_user("casa_A")
    rights.remove_user("casa_A")
    assert rights.users() == ["engine"]


def test_a_watcher_hears_of_changes_until_it_ends_its_watch(rights):
    heard = []
    unwatch = rights.watch(heard.append)
    rights.set_user("casa_A", hash_secret("token-a"), "casa_A")  # as it was: no change
    rights.set_user("casa_A", hash_secret("other"), "casa_A")
    rights.remove_user("engine")
    unwatch()
    rights.remove_user("casa_A")
    assert heard == ["casa_A", "engine"]


# --- the broker keeps them


@pytest.mark.parametrize(
    ("user", "secret"), [(None, None), ("casa_A", "wrong"), ("casa_A", ""), ("casa_Z", "token-a"), ("", "")]
)
def test_a_client_without_the_right_credential_is_refused(homes, user, secret):
    client = BareClient(homes.port, "x", user, secret)
    assert client.return_code == 5
    assert client.is_closed()
    assert homes.broker.status().refused == {"credentials": 1}
    assert homes.broker.sessions() == []


def test_a_home_publishes_under_its_own_topic_and_nowhere_else(homes):
    listener = engine(homes)
    listener.subscribe("#")
    home = casa_a(homes)
    home.publish("comunita/casa_B/produzione", b"forged", 1, 1)
    home.publish("elsewhere", b"forged", 1, 2)
    home.publish("comunita/casa_A/produzione", b"own", 1, 3)
    assert listener.read_publish()[:2] == ("comunita/casa_A/produzione", b"own")
    assert homes.broker.status().refused == {"publish": 2}


def test_a_refused_message_is_acknowledged_all_the_same(homes):
    """MQTT 3.1.1 has no answer that says no; without this one the client would repeat it for ever."""
    home = casa_a(homes)
    home.publish("comunita/casa_B/x", b"forged", 1, 9)
    assert home.read() == (0x40, b"\0\x09")


def test_a_home_retains_nothing_under_another_home(homes):
    casa_a(homes).publish("comunita/casa_B/stato", b"offline", retain=True)
    until(lambda: homes.broker.status().refused)
    home = casa_b(homes)
    home.subscribe("comunita/casa_B/#")
    assert home.is_silent()


@pytest.mark.parametrize("topic_filter", ["#", "comunita/#", "comunita/+/x", "comunita/casa_B/#", "+/casa_B/x"])
def test_a_filter_beyond_the_home_is_not_granted(homes, topic_filter):
    home = casa_a(homes)
    assert home.subscribe(topic_filter) == 0x80
    engine(homes).publish("comunita/casa_B/x", b"1")
    assert home.is_silent()
    assert homes.broker.status().refused == {"subscribe": 1}


def test_a_home_receives_what_the_engine_sends_it_with_a_wildcard_of_its_own(homes):
    home = casa_a(homes)
    assert home.subscribe("comunita/casa_A/#", 1) == 1
    engine(homes).publish("comunita/casa_A/rele/1/set", b"on", 1)
    assert home.read_publish()[:3] == ("comunita/casa_A/rele/1/set", b"on", 1)


def test_connecting_brings_no_home_another_home_s_retained_messages(homes):
    """Stock sends every client that connects the retained messages of everybody's subscriptions."""
    listener = engine(homes)
    listener.subscribe("comunita/#")
    casa_a(homes).publish("comunita/casa_A/stato", b"private", retain=True)
    listener.read_publish()
    home = casa_b(homes)
    home.subscribe("comunita/casa_B/x")
    assert home.is_silent()


def test_a_retained_message_reaches_its_home_and_the_engine(homes):
    engine(homes).publish("comunita/casa_A/x", b"kept", retain=True)
    until(lambda: homes.broker.status().retained)
    for client, topic_filter in ((casa_a(homes), "comunita/casa_A/+"), (engine(homes), "#")):
        client.subscribe(topic_filter)
        assert client.read_publish()[:2] == ("comunita/casa_A/x", b"kept")


def test_a_will_on_another_home_s_topic_is_refused_at_connect(homes):
    """Stock publishes it without asking for rights."""
    listener = engine(homes)
    listener.subscribe("#")
    home = casa_a(homes, will=("comunita/casa_B/stato", b"offline"))
    home.reset()
    until(lambda: [client.client_id for client in homes.broker.sessions()] == ["e"])
    assert listener.is_silent()
    assert home.return_code == 5
    assert homes.broker.status().refused == {"will": 1}


def test_a_will_that_lost_its_right_since_is_not_published(homes):
    listener = engine(homes)
    listener.subscribe("#")
    home = casa_a(homes, will=("comunita/casa_A/stato", b"offline"))
    homes.rights.remove_user("casa_A")
    assert home.is_closed()
    assert listener.is_silent()


def test_a_client_id_gives_no_access_to_another_user_s_session(homes):
    """Stock hands the session over to whoever names it."""
    rightful = casa_b(homes, "shared-id", clean=False)
    rightful.subscribe("comunita/casa_B/#", 1)
    thief = casa_a(homes, "shared-id", clean=False)
    assert not thief.session_present
    engine(homes).publish("comunita/casa_B/x", b"private", 1)
    assert rightful.read_publish()[1] == b"private"
    assert thief.is_silent()


def test_a_wrong_secret_with_somebody_s_client_id_leaves_that_session_alone(homes):
    """Stock deletes the session before it looks at the secret."""
    rightful = casa_a(homes, "meter")
    rightful.subscribe("comunita/casa_A/#")
    assert BareClient(homes.port, "meter", "casa_A", "guess").return_code == 5
    engine(homes).publish("comunita/casa_A/x", b"1")
    assert rightful.read_publish()[1] == b"1"


def test_an_anonymous_broker_lets_anybody_do_everything_but_knows_its_users():
    with RunningBroker(USERS, anonymous=True) as broker:
        client = BareClient(broker.port, "anybody")
        assert client.subscribe("#") == 0
        client.publish("comunita/casa_A/x", b"1")
        assert client.read_publish()[1] == b"1"
        assert BareClient(broker.port, "x", "casa_A", "wrong").return_code == 5
        assert casa_a(broker).subscribe("#") == 0x80


# --- changes while it runs


def test_a_user_that_is_added_may_come_at_once(homes):
    assert BareClient(homes.port, "c", "casa_C", "token-c").return_code == 5
    homes.rights.set_user("casa_C", hash_secret("token-c"), "casa_C")
    assert BareClient(homes.port, "c", "casa_C", "token-c").return_code == 0


def test_a_removed_user_s_connections_end_and_its_session_is_gone(homes):
    home = casa_a(homes, clean=False)
    home.subscribe("comunita/casa_A/#", 1)
    other = casa_b(homes)
    homes.rights.remove_user("casa_A")
    assert home.is_closed()
    assert other.is_silent()
    homes.rights.set_user("casa_A", hash_secret("token-a"), "casa_A")
    assert not casa_a(homes, clean=False).session_present


def test_a_new_secret_ends_connections_made_with_the_old_one(homes):
    home = casa_a(homes)
    homes.rights.set_user("casa_A", hash_secret("token-new"), "casa_A")
    assert home.is_closed()
    assert casa_a(homes).return_code == 5
    assert BareClient(homes.port, "a", "casa_A", "token-new").return_code == 0


def test_rights_may_change_from_another_thread_while_messages_flow(homes):
    listener = engine(homes)
    listener.subscribe("comunita/casa_B/#", 1)

    def change() -> None:
        for n in range(200):
            homes.rights.set_user(f"casa_{n}", hash_secret("t"), f"casa_{n}")
            homes.rights.remove_user(f"casa_{n}")

    changing = Thread(target=change)
    changing.start()
    home = casa_b(homes)
    for n in range(300):
        home.publish("comunita/casa_B/x", b"%d" % n, 1, n + 1)
    changing.join()
    for n in range(90):  # within the window of what may be unacknowledged
        assert listener.read_publish()[1] == b"%d" % n


# --- what the log says


def test_a_refused_client_is_logged_with_the_reason_once_a_minute(homes, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(5):
        BareClient(homes.port, "x", "casa_A", "wrong-secret").is_closed()
    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(lines) == 1
    assert "(credentials): unknown user or wrong secret for user 'casa_A'" in lines[0]
    assert "wrong-secret" not in caplog.text
    assert homes.broker.status().refused == {"credentials": 5}


def test_a_client_cannot_write_a_line_of_its_own_into_the_log(homes, caplog):
    BareClient(homes.port, "x", "casa_A\nWARNING all is well", "x")
    casa_a(homes).publish("other\nWARNING all is well", b"1")
    until(lambda: len(homes.broker.status().refused) == 2)
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_an_ordinary_client_leaves_no_line_in_the_log(homes, caplog):
    caplog.set_level(logging.INFO)
    home = casa_a(homes)
    home.subscribe("comunita/casa_A/#")
    home.publish("comunita/casa_A/x", b"1")
    home.read_publish()
    home.send(packet(0xA2, b"\0\5" + text("comunita/casa_A/#")))
    home.read()
    home.disconnect()
    until(lambda: not homes.broker.status().clients)
    assert caplog.records == []


def test_from_the_first_credential_on_nobody_stays_or_comes_in_without_one() -> None:
    with RunningBroker() as running:
        visitor = BareClient(running.port, "visitor")
        assert visitor.return_code == 0
        running.loop.call_soon_threadsafe(running.broker.refuse_anonymous)
        assert visitor.is_closed()
        assert BareClient(running.port, "visitor").return_code != 0
