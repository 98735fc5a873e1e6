"""Who gets which message, whatever a broker makes of overlapping filters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mqtt_peers import Taker
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from solarflow.mqtt import Incoming, matches
from solarflow.mqtt.routing import COPY_WINDOW_S, RETAINED_WINDOW_S, Router

FILTERS = ["a/#", "a/+/c", "a/b/+", "a/b/c", "+/b/c", "#", "x/y"]


class Bench:
    """A router, a clock, and a broker that sends one copy of a message per filter, or one in all."""

    def __init__(self, *, copies: bool = False, protocol_5: bool = False) -> None:
        self.now = 0.0
        self.copies = copies
        self.errors: list[str] = []
        self.router = Router(protocol_5=protocol_5, now=lambda: self.now, on_error=self.errors.append)
        self.protocol_5 = protocol_5
        self.told: dict[str, int] = {}
        self.qos: dict[str, int] = {}

    def take(self, topic_filter: str, qos: int = 0) -> Taker:
        taker = Taker()
        taker.subscription = self.router.add(topic_filter, qos, taker, lambda: None)  # type: ignore[attr-defined]  # for tests that cancel
        return taker

    def sync(self) -> tuple[list[str], list[str], list[str]]:
        subscribe, quiet, gone = self.router.changes()
        for topic_filter, state in {**subscribe, **quiet}.items():
            self.told[topic_filter], self.qos[topic_filter] = state.identifier, state.qos
        for topic_filter in gone:
            del self.told[topic_filter]
        return list(subscribe), list(quiet), gone

    def send(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> None:
        found = [f for f in self.told if matches(f, topic)]
        times = len(found) if self.copies else min(1, len(found))
        for index in range(times):
            properties = None
            if self.protocol_5:
                properties = Properties(PacketTypes.PUBLISH)
                identifiers = [self.told[f] for f in (found[index : index + 1] if self.copies else found)]
                for identifier in filter(None, identifiers):
                    properties.SubscriptionIdentifier = identifier
            self.router.deliver([Incoming(topic, payload, 0, retain, properties)])


@given(st.lists(st.sampled_from(FILTERS), max_size=6), st.booleans(), st.booleans(), st.lists(st.booleans()))
def test_each_subscription_gets_each_message_once(
    filters: list[str], copies: bool, protocol_5: bool, pauses: list[bool]
) -> None:
    bench = Bench(copies=copies, protocol_5=protocol_5)
    takers = [bench.take(topic_filter) for topic_filter in filters]
    bench.sync()
    for number, pause in enumerate(pauses):
        bench.send("a/b/c", b"%d" % number)
        bench.now += 2 * COPY_WINDOW_S if pause else 0
    expected = [b"%d" % number for number in range(len(pauses))]
    for topic_filter, taker in zip(filters, takers, strict=True):
        assert taker.payloads == (expected if matches(topic_filter, "a/b/c") else [])


@given(st.lists(st.sampled_from(FILTERS), min_size=1, max_size=6), st.data())
def test_cancelling_leaves_the_others_what_they_had(filters: list[str], data: st.DataObject) -> None:
    bench = Bench()
    takers = [bench.take(topic_filter) for topic_filter in filters]
    bench.sync()
    gone = data.draw(st.sets(st.integers(0, len(filters) - 1)))
    for index in gone:
        takers[index].subscription.cancel()
    bench.sync()
    bench.send("a/b/c", b"x")
    for index, topic_filter in enumerate(filters):
        wants = index not in gone and matches(topic_filter, "a/b/c")
        assert takers[index].payloads == ([b"x"] if wants else [])


def test_a_filter_that_another_covers_is_not_told_to_the_broker() -> None:
    bench = Bench()
    bench.take("a/b", qos=2)
    assert bench.sync() == (["a/b"], [], [])
    bench.take("a/#")
    assert bench.sync() == (["a/#"], [], ["a/b"])
    assert bench.qos["a/#"] == 2


def test_nothing_changed_means_nothing_to_tell() -> None:
    bench = Bench()
    bench.take("a/b")
    bench.sync()
    assert bench.sync() == ([], [], [])


def test_a_covering_filter_that_goes_is_replaced_without_asking_for_retained_messages() -> None:
    bench = Bench()
    wide = bench.take("a/#")
    bench.take("a/b")
    bench.sync()
    wide.subscription.cancel()
    assert bench.sync() == ([], ["a/b"], ["a/#"])


def test_a_repeated_reading_is_no_copy_once_the_broker_is_seen_to_send_none() -> None:
    bench = Bench(copies=False)
    taker = bench.take("a/+/c")
    bench.take("a/b/+")
    bench.sync()
    bench.send("a/b/c", b"1500")
    bench.now += 5
    for _ in range(10):
        bench.send("a/b/c", b"1500")
    assert len(taker.payloads) == 11


def test_a_repeated_reading_is_no_copy_even_where_the_broker_sends_copies() -> None:
    bench = Bench(copies=True)
    taker = bench.take("a/+/c")
    bench.take("a/b/+")
    bench.sync()
    for _ in range(10):
        bench.send("a/b/c", b"1500")
    assert len(taker.payloads) == 10


def test_what_is_retained_reaches_only_those_who_have_just_come() -> None:
    bench = Bench()
    first = bench.take("a/b")
    bench.sync()
    bench.send("a/b", b"kept", retain=True)
    bench.now += 2 * RETAINED_WINDOW_S
    second = bench.take("a/#")
    bench.sync()
    bench.send("a/b", b"kept", retain=True)
    assert (first.payloads, second.payloads) == ([b"kept"], [b"kept"])


def test_a_message_marked_as_retained_that_answers_nothing_reaches_all() -> None:
    bench = Bench()
    taker = bench.take("a/b")
    bench.sync()
    bench.now += 2 * RETAINED_WINDOW_S
    bench.send("a/b", b"live, though marked", retain=True)
    assert taker.payloads == [b"live, though marked"]


def test_a_new_connection_begins_anew() -> None:
    bench = Bench()
    taker = bench.take("a/b")
    bench.sync()
    bench.send("a/b", b"kept", retain=True)
    bench.router.connected()
    assert bench.sync() == (["a/b"], [], [])
    bench.send("a/b", b"kept", retain=True)
    assert taker.payloads == [b"kept", b"kept"]


def test_a_refused_filter_is_not_asked_for_again_and_hides_no_other() -> None:
    bench = Bench()
    bench.take("#")
    bench.take("a/b")
    assert bench.sync() == (["#"], [], [])
    bench.router.refused("#", "not authorised")
    assert bench.sync() == (["a/b"], [], [])
    assert bench.sync() == ([], [], [])


def test_the_remembered_topics_are_bounded() -> None:
    bench = Bench()
    taker = bench.take("t/#")
    bench.sync()
    for number in range(25_000):
        bench.send(f"t/{number}")
    assert len(taker.payloads) == 25_000
    assert len(bench.router._plain) <= 10_000
