"""The simulated community: what it publishes, how it obeys, and the past it makes up."""

import asyncio
import json
import time
from itertools import pairwise
from statistics import median
from types import SimpleNamespace

import pytest

from solarflow.clock import VirtualClock
from solarflow.energy.faults import Fault
from solarflow.errors import UsageError
from solarflow.simulation import DEMO_START, Community, encode

DAY_S = 86_400.0
MIDNIGHT = DEMO_START - 10 * 3600.0
ON = b'{"stato":"ON","ttl_s":300}'
OFF = b'{"stato":"OFF"}'


def powers(community, start, end, step_s=300.0, field="produzione_w"):
    """Home -> the values of `field` in its balances from `start` to `end`."""
    found = {home.id: [] for home in community.homes}
    for _, topic, payload in community.history(start, end, step_s):
        if topic.endswith("/bilancio"):
            found[topic.split("/")[1]].append(payload[field])
    return found


def on(community, home, now=DEMO_START):
    """What the home publishes at `now`, by topic below the home."""
    prefix = f"comunita/{home}/"
    return {topic.removeprefix(prefix): said for topic, said in community.readings(now) if topic.startswith(prefix)}


# -- what they publish ---------------------------------------------------------------------------------------------


def test_a_home_publishes_production_balance_and_the_state_of_each_relay():
    said = on(Community(), "casa_01")
    assert set(said) == {"produzione", "bilancio", "rele/1", "rele/2", "rele/3"}
    assert set(said["produzione"]) == {"potenza_w", "rendimento"}
    assert set(said["bilancio"]) == {"produzione_w", "consumo_w"}
    assert said["rele/1"] == {"stato": "OFF"}


def test_the_yield_is_the_power_per_watt_peak():
    community = Community()
    produced = on(community, "casa_02")["produzione"]
    assert produced["rendimento"] == pytest.approx(produced["potenza_w"] / community.homes[1].peak_power_wp, abs=1e-4)
    assert 0.3 < produced["rendimento"] < 0.8


def test_time_stamps_are_sent_only_on_request():
    assert on(Community(include_ts=True), "casa_01")["bilancio"]["ts"] == DEMO_START
    assert "ts" not in on(Community(), "casa_01")["bilancio"]


def test_the_same_seed_says_the_same_bytes_and_another_does_not():
    def all_bytes(seed):
        community = Community(seed=seed)
        said = [*community.readings(DEMO_START), *community.readings(DEMO_START + 60)]
        return b"".join(encode(payload) for _, payload in said)

    assert all_bytes(1) == all_bytes(1)
    assert all_bytes(1) != all_bytes(2)


def test_the_registry_lists_what_the_homes_registry_imports():
    homes = Community(homes=3).registry()
    assert [home["id"] for home in homes] == ["casa_01", "casa_02", "casa_03"]
    assert homes[0] | {"peak_power_wp": 0, "tilt_deg": 0, "azimuth_deg": 0, "latitude": 0, "longitude": 0} == {
        "id": "casa_01",
        "community": "comunita",
        "name": "Casa 1",
        "peak_power_wp": 0,
        "tilt_deg": 0,
        "azimuth_deg": 0,
        "latitude": 0,
        "longitude": 0,
        "loads": [
            {"name": "boiler", "power_w": 1500.0, "relay": 1},
            {"name": "ev", "power_w": 2300.0, "relay": 2},
            {"name": "softener", "power_w": 40.0, "relay": 3},
        ],
    }
    assert all(3000 <= home["peak_power_wp"] <= 6000 for home in homes)
    assert all(45 < home["latitude"] < 45.1 and 7.6 < home["longitude"] < 7.8 for home in homes)


def test_a_community_needs_a_home():
    with pytest.raises(UsageError, match="ask for 1 to 100000"):
        Community(homes=0)


def test_a_fault_for_a_home_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match=r"no home 'casa_99'.*casa_01 to casa_12"):
        Community(faults={"casa_99": [Fault("silence")]})


# -- the day of the demonstration ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(1, 6))
def test_from_ten_on_most_homes_have_a_kilowatt_to_spare_and_some_have_not(seed):
    community = Community(seed=seed)
    produced = powers(community, DEMO_START, DEMO_START + 3600)
    consumed = powers(community, DEMO_START, DEMO_START + 3600, field="consumo_w")
    spare = [median(p - c for p, c in zip(produced[h], consumed[h], strict=True)) for h in produced]
    assert sum(watts > 1000 for watts in spare) >= 8
    assert sum(watts < 1000 for watts in spare) >= 1


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("until_h", [11, 13])
def test_by_late_morning_only_the_poor_home_is_below_its_usual_on_five_of_seven_days(seed, until_h):
    community = Community(seed=seed)
    peak = {home.id: home.peak_power_wp for home in community.homes}
    produced = powers(community, MIDNIGHT - 14 * DAY_S, MIDNIGHT + until_h * 3600)

    def relative(home, day):
        span = slice(288 * day, 288 * (day + 1))
        energy = {name: sum(values[span]) / peak[name] for name, values in produced.items()}
        return energy[home] / median(value for name, value in energy.items() if name != home)

    alerted = []
    for home in produced:
        ratios = [relative(home, day) for day in range(15)]
        usual = median(ratios[:14])
        if sum(ratio < 0.85 * usual for ratio in ratios[8:]) >= 5:
            alerted.append(home)
    assert alerted == ["casa_07"]


def test_the_poor_home_gives_65_percent_of_normal_from_four_days_before_on():
    poor, sound = Community(), Community(poor_home=None)
    for day, share in ((-5, 1.0), (-4, 0.65), (0, 0.65)):
        start = MIDNIGHT + day * DAY_S
        with_fault, without = (sum(powers(c, start, start + DAY_S)["casa_07"]) for c in (poor, sound))
        assert with_fault / without == pytest.approx(share, abs=0.001)


# -- commands ------------------------------------------------------------------------------------------------------


def test_a_command_is_answered_with_the_relays_state_and_raises_consumption():
    community = Community()
    before = on(community, "casa_01")["bilancio"]["consumo_w"]
    answer = community.on_command("comunita/casa_01/rele/1/set", ON, DEMO_START)
    assert answer == [("comunita/casa_01/rele/1", {"stato": "ON"})]
    after = on(community, "casa_01")
    assert after["bilancio"]["consumo_w"] == pytest.approx(before + 1500, abs=0.2)
    assert after["rele/1"] == {"stato": "ON"}


def test_a_repeated_command_is_answered_too():
    community = Community()
    for moment in (DEMO_START, DEMO_START + 60):
        answer = community.on_command("comunita/casa_01/rele/1/set", ON, moment)
    assert answer == [("comunita/casa_01/rele/1", {"stato": "ON"})]


def test_off_switches_off():
    community = Community()
    community.on_command("comunita/casa_01/rele/1/set", ON, DEMO_START)
    assert community.on_command("comunita/casa_01/rele/1/set", OFF, DEMO_START + 1) == [
        ("comunita/casa_01/rele/1", {"stato": "OFF"})
    ]
    assert community.next_expiry() == float("inf")


def test_when_the_time_runs_out_the_relay_is_off_and_says_so_once():
    community = Community()
    community.on_command("comunita/casa_01/rele/1/set", ON, DEMO_START)
    assert community.next_expiry() == DEMO_START + 300
    assert community.relay_changes(DEMO_START + 299) == []
    assert community.relay_changes(DEMO_START + 300) == [("comunita/casa_01/rele/1", {"stato": "OFF"})]
    assert community.relay_changes(DEMO_START + 301) == []


def test_a_change_that_a_reading_came_upon_first_is_still_told():
    community = Community()
    community.on_command("comunita/casa_01/rele/1/set", ON, DEMO_START)
    assert on(community, "casa_01", DEMO_START + 400)["rele/1"] == {"stato": "OFF"}
    assert community.relay_changes(DEMO_START + 400) == [("comunita/casa_01/rele/1", {"stato": "OFF"})]


def test_a_command_without_a_time_holds_five_minutes():
    community = Community()
    community.on_command("comunita/casa_01/rele/1/set", b'{"stato":"ON"}', DEMO_START)
    assert community.next_expiry() == DEMO_START + 300


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("comunita/casa_01/rele/9/set", ON),
        ("comunita/casa_99/rele/1/set", ON),
        ("comunita/casa_01/rele/1", ON),
        ("altro/casa_01/rele/1/set", ON),
        ("comunita/casa_01/rele/1/set", b""),
        ("comunita/casa_01/rele/1/set", b"\xff"),
        ("comunita/casa_01/rele/1/set", b"[1]"),
        ("comunita/casa_01/rele/1/set", b'{"stato":"FORSE"}'),
        ("comunita/casa_01/rele/1/set", b'{"stato":"ON","ttl_s":0}'),
        ("comunita/casa_01/rele/1/set", b'{"stato":"ON","ttl_s":true}'),
        ("comunita/casa_01/rele/1/set", b'{"stato":"ON","ttl_s":NaN}'),
        ("comunita/casa_01/rele/1/set", b'{"stato":"ON","ttl_s":1e9}'),
        ("comunita/casa_01/rele/1/set", b'{"stato":"ON","ttl_s":"300"}'),
    ],
)
def test_a_command_that_makes_no_sense_is_counted_logged_and_changes_nothing(topic, payload, caplog):
    community = Community()
    assert community.on_command(topic, payload, DEMO_START) == []
    assert community.refused == 1
    assert topic in caplog.text
    assert on(community, "casa_01")["rele/1"] == {"stato": "OFF"}


def test_a_cleaned_plant_recovers():
    dirty = [Fault("soiling", start=DEMO_START - 30 * DAY_S, percent_per_day=1)]
    community, sound = Community(faults={"casa_02": dirty}), Community()
    assert community.on_command("comunita/casa_02/pulizia/set", ON, DEMO_START) == []
    later = DEMO_START + 300
    wanted = on(sound, "casa_02", later)["produzione"]["potenza_w"]
    assert on(community, "casa_02")["produzione"]["potenza_w"] < 0.75 * wanted
    assert on(community, "casa_02", later)["produzione"]["potenza_w"] == pytest.approx(wanted, rel=0.001)


# -- faults --------------------------------------------------------------------------------------------------------


def test_a_silent_home_neither_speaks_nor_hears_and_its_relay_falls_off_in_silence():
    silence = Fault("silence", start=DEMO_START + 60, end=DEMO_START + 600)
    community = Community(faults={"casa_02": [silence]})
    community.on_command("comunita/casa_02/rele/1/set", ON, DEMO_START)
    assert on(community, "casa_02", DEMO_START + 60) == {}
    assert community.on_command("comunita/casa_02/rele/1/set", ON, DEMO_START + 200) == []
    assert community.relay_changes(DEMO_START + 300) == []
    assert on(community, "casa_02", DEMO_START + 600)["rele/1"] == {"stato": "OFF"}
    assert len(powers(community, DEMO_START, DEMO_START + 900)["casa_02"]) == 2


def test_a_home_with_a_wrong_clock_sends_wrong_time_stamps():
    community = Community(faults={"casa_02": [Fault("wrong-clock", start=DEMO_START, hours=2)]})
    assert on(community, "casa_02")["produzione"]["ts"] == DEMO_START + 7200
    assert on(community, "casa_02", DEMO_START - 1)["produzione"]["ts"] == DEMO_START - 1
    assert "ts" not in on(community, "casa_01")["produzione"]


# -- history -------------------------------------------------------------------------------------------------------


def test_history_is_what_the_running_community_says_at_those_times():
    community = Community()
    remembered = [(topic, payload) for _, topic, payload in community.history(DEMO_START, DEMO_START + 900)]
    live = Community()
    lived = [
        said
        for moment in (0, 300, 600)
        for said in live.readings(DEMO_START + moment)
        if "/rele/" not in said[0]
    ]  # fmt: skip
    assert remembered == lived


def test_history_comes_in_order_and_stops_before_its_end():
    times = [moment for moment, _, _ in Community(homes=2).history(DEMO_START - 2 * DAY_S, DEMO_START)]
    assert times[0] == DEMO_START - 2 * DAY_S
    assert times[-1] == DEMO_START - 300
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert len(times) == 2 * 288 * 2 * 2


def test_an_empty_history_is_empty():
    assert list(Community().history(DEMO_START, DEMO_START)) == []


def test_two_weeks_of_twelve_homes_take_less_than_two_seconds_of_cpu():
    began = time.process_time()
    count = sum(1 for _ in Community().history(MIDNIGHT - 14 * DAY_S, MIDNIGHT))
    assert count == 14 * 288 * 12 * 2
    assert time.process_time() - began < 2


# -- over a connection ---------------------------------------------------------------------------------------------


class LeapingClock(VirtualClock):
    """Virtual time that leaps over every wait once what is under way is done; the wait at `end` does not return."""

    def __init__(self, start, end):
        super().__init__(start)
        self.end = end

    def real_seconds(self, duration_s):
        if self.now() + duration_s > self.end:
            return 3600.0
        asyncio.get_running_loop().call_soon(self.move_to, self.now() + duration_s)
        return 0.0


class Recorder:
    """A connection that writes down what is published, and lets commands be sent at given moments."""

    def __init__(self, clock, commands=(), room=True):
        self.clock, self.commands, self.room = clock, list(commands), room
        self.said, self.filters, self.callbacks, self.cancelled = [], [], [], []

    def publish(self, topic, payload, qos, retain):
        self.said.append((self.clock.now() - DEMO_START, topic, payload, qos, retain))
        while self.commands and self.clock.now() - DEMO_START >= self.commands[0][0]:
            _, command_topic, command = self.commands.pop(0)
            self.callbacks[0]([SimpleNamespace(topic=command_topic, payload=command, retain=False)])
        return self.room

    def subscribe(self, filter, qos, callback):
        self.filters.append(filter)
        self.callbacks.append(callback)
        return SimpleNamespace(cancel=lambda: self.cancelled.append(filter))

    def times(self, topic):
        return [moment for moment, said, *_ in self.said if said == topic]


def run_for(seconds, community, commands=(), room=True, **options):
    """Run the community for so many clock seconds, and return the connection it spoke to."""
    clock = LeapingClock(DEMO_START, DEMO_START + seconds)
    connection = Recorder(clock, commands, room)

    async def live():
        running = asyncio.create_task(community.run(connection, clock, **options))
        deadline = time.monotonic() + 20
        while clock.now() + 60 < clock.end and time.monotonic() < deadline and not running.done():
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(live())
    return connection


def test_every_home_is_read_once_a_minute_and_not_all_at_once():
    connection = run_for(600, Community())
    first = {home: connection.times(f"comunita/casa_{home:02d}/bilancio") for home in (1, 7)}
    assert first[1] == pytest.approx([60 * minute for minute in range(11)])
    assert first[7] == pytest.approx([30 + 60 * minute for minute in range(10)])


def test_relays_say_where_they_stand_every_minute_though_readings_are_rarer():
    connection = run_for(600, Community(), interval_s=300)
    assert len(connection.times("comunita/casa_01/bilancio")) == 3
    assert len(connection.times("comunita/casa_01/rele/1")) == 11


def test_a_relay_that_runs_out_between_two_readings_says_so_at_that_moment():
    command = (90, "comunita/casa_01/rele/1/set", b'{"stato":"ON","ttl_s":45}')
    connection = run_for(300, Community(), [command], interval_s=60)
    states = [(at, payload) for at, topic, payload, *_ in connection.said if topic == "comunita/casa_01/rele/1"]
    assert (90, b'{"stato":"ON"}') in states
    assert (135, b'{"stato":"OFF"}') in states
    assert (120, b'{"stato":"ON"}') in states
    assert (180, b'{"stato":"OFF"}') in states


def test_readings_show_the_boiler_while_it_is_on():
    command = (90, "comunita/casa_01/rele/1/set", b'{"stato":"ON","ttl_s":100}')
    with_boiler, without = run_for(300, Community(), [command]), run_for(300, Community())

    def consumption(connection):
        said = [
            json.loads(payload) for _, topic, payload, *_ in connection.said if topic == "comunita/casa_01/bilancio"
        ]
        return [balance["consumo_w"] for balance in said]

    extra = [on - off for on, off in zip(consumption(with_boiler), consumption(without), strict=True)]
    assert extra == pytest.approx([0, 0, 1500, 1500, 0, 0], abs=0.2)


def test_homes_are_online_while_it_runs_and_offline_after_it():
    connection = run_for(120, Community(homes=2))
    presence = [said for said in connection.said if said[1] == "comunita/casa_02/stato"]
    assert presence[0] == (0, "comunita/casa_02/stato", b"online", 1, True)
    assert presence[-1][2:] == (b"offline", 1, True)
    assert not any(retain for _, topic, _, _, retain in connection.said if not topic.endswith("/stato"))


def test_it_listens_for_commands_to_relays_and_cleaners_until_it_ends():
    connection = run_for(60, Community())
    assert connection.filters == ["comunita/+/rele/+/set", "comunita/+/pulizia/set"]
    assert connection.cancelled == connection.filters


def test_a_retained_command_is_not_obeyed():
    community = Community()
    clock = LeapingClock(DEMO_START, DEMO_START)
    connection = Recorder(clock)

    async def live():
        running = asyncio.create_task(community.run(connection, clock))
        await asyncio.sleep(0)
        for retain in (True, False):
            message = SimpleNamespace(topic=f"comunita/casa_0{1 + retain}/rele/1/set", payload=ON, retain=retain)
            connection.callbacks[0]([message])
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(live())
    assert [community.homes[place].relay_states[1] for place in (0, 1)] == [True, False]


def test_what_the_connection_had_no_room_for_is_counted():
    community = Community(homes=1)
    connection = run_for(60, community, room=False)
    assert community.dropped == len(connection.said) > 0


def test_a_run_twice_says_the_same_bytes():
    one, other = run_for(600, Community(seed=4)), run_for(600, Community(seed=4))
    assert one.said == other.said
