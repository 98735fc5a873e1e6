"""What must hold whatever happens: random requests, surpluses, restarts and deploys against a device with a TTL."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from solarflow.registry import load_registry
from solarflow.testing import START, NodeBench

REGISTRY = load_registry()
HOME = "casa_A"
MIN_ON_S, MIN_OFF_S, MAX_AGE_S, TTL_S = 100, 150, 180, 300
SAFETY = {"silent", "stale", "offline", "stop", "removed"}


class Device:
    """A relay that obeys every command at once and falls off when its TTL runs out: (time, on) of its changes."""

    def __init__(self):
        self.changes = []
        self.on_until = None

    def hear(self, t, payload):
        self.let_pass(t)
        on = payload["stato"] == "ON"
        if on != (self.on_until is not None):
            self.changes.append((t, on))
        self.on_until = t + payload["ttl_s"] if on else None

    def let_pass(self, t):
        if self.on_until is not None and t >= self.on_until:
            self.changes.append((self.on_until, False))
            self.on_until = None


EVENTS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from([True, True, False]), st.sampled_from(["", "", "silent"])),
    st.tuples(st.just("late"), st.booleans(), st.just("")),
    st.tuples(st.just("override"), st.sampled_from(["on", "off", "auto"]), st.integers(1, 900)),
    st.tuples(st.just("presence"), st.sampled_from(["online", "offline"]), st.just("")),
    st.tuples(st.just("restart"), st.booleans(), st.integers(0, 700)),
    st.tuples(st.just("deploy"), st.sampled_from([30, 60]), st.just("")),
    st.tuples(st.just("nothing"), st.just(""), st.just("")),
)
TRACE = st.lists(st.tuples(st.integers(0, 250), EVENTS), max_size=40)


def play(relay, trace):
    """Run a trace; (times of requests, spans of overrides to "on", spans in which the engine was down)."""
    asked, overridden, down = [], [], []
    for wait_s, (kind, what, more) in trace:
        relay.advance(wait_s)
        if kind == "ask":
            relay.feed(what, home=HOME, reason=more or "because")
            asked.append(relay.now)
        elif kind == "late":
            relay.feed(what, home=HOME, ts=START + relay.now - MAX_AGE_S - 1)
        elif kind == "override":
            relay.feed(home=HOME, override=what, for_s=more)
            if what == "on":
                overridden.append((relay.now, relay.now + more))
        elif kind == "presence":
            relay.feed(what, topic=f"comunita/{HOME}/stato")
        elif kind == "restart":
            relay.checkpoint()
            begin = relay.now
            relay.restart(down_s=more, killed=what)
            down.append((begin, relay.now))
        elif kind == "deploy":
            relay.configure(repeat_s=what)
    relay.advance(2000)
    return asked, overridden, down


@settings(max_examples=150, deadline=None)
@given(trace=TRACE)
def test_a_relay_keeps_its_minimum_times_and_is_never_on_unasked(trace):
    relay = NodeBench(
        REGISTRY["relay-out"],
        {
            "min_on_s": MIN_ON_S, "min_off_s": MIN_OFF_S, "max_age_s": MAX_AGE_S, "ttl_s": TTL_S, "feedback_topic": "",
        },
    )  # fmt: skip
    asked, overridden, down = play(relay, trace)
    device, reasons = Device(), {}
    for seen in relay.sent:
        if seen.port == 0:
            device.hear(seen.t, seen.msg["payload"])
            if seen.msg["payload"]["stato"] == "ON":
                recent = any(0 <= seen.t - t <= MAX_AGE_S for t in asked)
                by_hand = any(begin <= seen.t <= end for begin, end in overridden)
                held = any(0 <= seen.t - end <= MIN_ON_S for _, end in overridden)
                assert recent or by_hand or held, f"ON at {seen.t} and nobody had asked"
        else:
            reasons.setdefault(seen.t, set()).add(seen.msg["payload"]["motivo"])
    device.let_pass(relay.now)
    assert device.on_until is None, "it is still on at the end"
    for (begin, on), (end, _) in pairwise(device.changes):
        if on:
            expired = end not in reasons
            was_down = any(end >= b and begin <= e for b, e in down)
            assert end - begin >= MIN_ON_S - 1e-6 or SAFETY & reasons.get(end, set()) or (expired and was_down)
        else:
            assert end - begin >= MIN_OFF_S - 1e-6, f"off from {begin} to {end} only"
    assert relay.errors == []


HOURS = (3600.0, 5 * 3600.0)  # 10:00-14:00 UTC; START is 09:00
PRIORITY = {
    "loads": [
        {"name": "boiler", "relay": 1, "power_w": 1500, "allowed_hours": ["10:00-14:00"], "max_per_day_s": 5000},
        {"name": "softener", "relay": 2, "power_w": 300, "run_to_completion": {"every_days": 2, "duration_s": 2400}},
        {"name": "ev", "relay": 3, "power_w": 2000, "guarantee": {"minutes": 30, "deadline": "16:00"}, "reserve": True},
    ],
    "max_age_s": 400,
    "repeat_s": 100,
}
SURPLUSES = st.lists(
    st.tuples(st.integers(1, 900), st.integers(-3000, 6000), st.sampled_from(["", "", "", "", "restart", "kill"])),
    min_size=20,
    max_size=80,
)


def spans(home, load, until):
    """When a load was asked to be on: (begin, end)."""
    found, begin = [], None
    for seen in home.sent:
        if seen.msg["load"] == load:
            if seen.msg["payload"] and begin is None:
                begin = seen.t
            elif not seen.msg["payload"] and begin is not None:
                found.append((begin, seen.t))
                begin = None
    return found if begin is None else [*found, (begin, until)]


def endings(home, load):
    """Why it was asked to be off, each time that it was on."""
    said = [seen.msg for seen in home.sent if seen.msg["load"] == load]
    return [now["reason"] for before, now in pairwise(said) if before["payload"] and not now["payload"]]


@settings(max_examples=80, deadline=None)
@given(trace=SURPLUSES)
def test_loads_keep_to_their_hours_their_maximum_and_their_runs(trace):
    home = NodeBench(REGISTRY["load-priority"], PRIORITY)
    heard = [0.0]
    for wait_s, surplus_w, then in trace:
        home.advance(wait_s)
        home.feed(surplus_w, home=HOME)
        heard.append(home.now)
        if then:
            home.checkpoint()
            home.restart(killed=then == "kill")
    home.advance(400)
    assert home.errors == []
    boiler, softener = (spans(home, name, home.now) for name in ("boiler", "softener"))
    for begin, end in boiler:
        day = begin // 86400 * 86400
        assert day + HOURS[0] <= begin <= end <= day + HOURS[1] + 1e-3
    assert sum(end - begin for begin, end in boiler) <= 5000 + 1
    assert all(end - begin <= 2400 + 1 for begin, end in softener)
    assert all(reason in ("completed", "silent") for reason in endings(home, "softener"))
    for load in ("boiler", "softener", "ev"):
        assert all(any(0 <= begin - t <= 400 for t in heard) for begin, _ in spans(home, load, home.now))
    assert not any(load.on for load in home.node.state.peek(HOME).loads.values())


@settings(max_examples=80, deadline=None)
@given(trace=SURPLUSES)
def test_loads_are_switched_after_the_surplus_one_at_a_time(trace):
    home = NodeBench(REGISTRY["load-priority"], PRIORITY)
    for wait_s, surplus_w, _ in trace:
        home.advance(wait_s)
        home.feed(surplus_w, home=HOME)
    last, before = {}, None
    for seen in home.sent:
        if last.get(seen.msg["load"], False) != seen.msg["payload"]:
            if seen.msg["reason"] in ("surplus", "import", "yields"):
                assert before is None or seen.t - before >= 10
            before = seen.t if seen.msg["reason"] != "silent" else None
        last[seen.msg["load"]] = seen.msg["payload"]


@settings(max_examples=100, deadline=None)
@given(
    trace=st.lists(st.tuples(st.integers(1, 200), st.integers(-500, 2000)), max_size=60),
    dip_s=st.sampled_from([0, 30]),
)
def test_a_threshold_turns_true_only_after_its_hold_and_never_outlives_its_readings(trace, dip_s):
    hold = NodeBench(REGISTRY["threshold-hold"], {"hold_s": 150, "max_age_s": 120, "dip_s": dip_s})
    readings = []
    for wait_s, value in trace:
        hold.advance(wait_s)
        hold.feed(value, home=HOME)
        readings.append((hold.now, value))
    hold.advance(120)
    for seen in hold.sent:
        if seen.msg["payload"]:
            before = [(t, value) for t, value in readings if seen.t - 150 <= t <= seen.t]
            assert any(0 <= seen.t - t < 120 for t, _ in before)
            assert before[-1][1] > 1000
            if not dip_s:
                assert all(value > 1000 for _, value in before)
    assert hold.node.state.peek(HOME) is None or not hold.node.state.peek(HOME).on
