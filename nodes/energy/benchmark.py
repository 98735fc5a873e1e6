"""Compare every home's yield with the median of the other homes; tell once when one falls behind, once when it is well.

Every `period_s` the last readings are compared. A home's reference is the median yield of the OTHER homes of its
community, at least `min_homes` of them: a home never hides its own fault, and the weather takes itself out.

Inputs
    payload (number): a home's yield in W/Wp, as a `yield` node gives it, as often as it comes.
    home (string): whose it is.
    ts (number, optional): when it was measured, in seconds since 1970 (UTC).
    community (string, optional): what the home is compared within, where it is not registered.
    power_w (number, optional): shown among the figures.
    reset (true): forget what was learned of this home, as after a change of its plant; ends its alert.
Outputs
    alerts: one message when an episode begins, one when it ends. `payload.alert` is "performance_bassa" or
        "performance_ok"; with it `rapporto` (own yield over the reference), `rendimento` and `riferimento` (W/Wp),
        `regola` (what found it) and `dal` (since when, UTC seconds). Both are also kept in the list of alerts.
    figures: every period, for each community: payload is an object with, for each home, `yield`, `reference`, `ratio`,
        `usual` (its usual ratio, once known), `days` (learned from), `power_w`, `age` (seconds), `low` and `since`.
        `reference` is the median of all, `homes` how many had a valid reading.

Details
    **peer**: below `ratio` of the reference for `persistence_s` without a break, while the reference is above
    `min_reference`; well again above `clear_ratio` for as long. Needs no past, and fires on roofs that are merely
    different: on nine recorded homes an alert was open on 38 % of all home-days.

    **learned**: for each local day the home's energy over the reference's is compared with what is usual for that
    home; low when at least `bad_days` of the last `of_days` days are below `ratio` of it, well again after `good_days`
    whole days above `clear_ratio`. The running day counts as soon as the reference has given `min_energy`. Usual is
    the median of the last `learning_days` good days, which may fall by only `max_fall_per_day`: seasons are followed,
    dirt that settles faster is not. Needs `min_days` days.

    **auto**: as peer, but below `young_ratio`, until the home has its days, and learned from then on. And from the
    first day on an absolute check: a day below `absolute_ratio` of the usual (of the reference, where none is known) is
    an alert as soon as half a day's light is in, and teaches nothing. On the recorded homes an alert was open on 0.4 %
    of home-days, in two true outages, and every loss of 25 % was found, mostly on the fifth day.

    Silence is neither good nor bad. Only times at which both the home and its reference were known count; readings
    older than `max_age_s`, marked `arretrato` or from the future are not used; a home that falls silent keeps its
    alert until it is heard and well.

    Days are local, by the project's `timezone` setting (UTC where there is none). Where the store has a past of the
    registered homes when this node begins for the first time, it learns from that (`learn_from`) instead of waiting
    for a fortnight. For hourly recordings set `period_s` and `max_age_s` to 3600.

Example
    Four homes, one of them at half of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from statistics import median
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from solarflow.energy import peers
from solarflow.energy.peers import BenchmarkRules, HomeRecord, Rule, Verdict
from solarflow.node import Example, KeyedState, Message, Node, NodeConfig, NodeError, Setup, at
from solarflow.units import PositiveSeconds, Ratio

ALERT_CODE = "low-yield"
MAX_YIELD_W_PER_WP = 1.5
DAYS_LEARNED_FROM_STORE = 45


@dataclass(slots=True)
class Live:
    """A home's readings since the last comparison."""

    total: float = 0.0
    count: int = 0
    value: float = 0.0
    ts: float = float("-inf")
    power_w: float | None = None
    community: str = ""


class Benchmark(Node):
    """Finds the homes that fall behind their neighbours."""

    type = "benchmark"
    category = "energy"
    color = "#8fc9a0"
    icon = "sun"
    outputs = 2
    output_labels = ("alerts", "figures")
    waits = True

    class Config(NodeConfig):
        """The rule and its thresholds."""

        rule: Rule = "auto"
        """`auto`, `peer` or `learned`: see the details."""
        period_s: PositiveSeconds = 300
        """How often the homes are compared."""
        max_age_s: PositiveSeconds = 600
        """A reading older than this is not used."""
        min_homes: int = Field(default=3, ge=1)
        """So many other homes at least make a reference."""
        ratio: Ratio = Field(default=0.85, gt=0, le=1)
        """Below this share of the reference, or of what is usual, a home does badly."""
        clear_ratio: Ratio = 0.90
        """From this share on it is well again."""
        young_ratio: Ratio = Field(default=0.75, gt=0, le=1)
        """For `auto`, in place of `ratio` until the home's usual ratio is known: roofs differ by that much."""
        absolute_ratio: Ratio = Field(default=0.5, lt=1)
        """For `auto`: below this share a day is a fault at once; 0 turns the check off."""
        persistence_s: PositiveSeconds = 14_400
        """For `peer`: how long it must be low, or well, in good light. Less than half a day finds shadows."""
        min_reference: Ratio = 0.3
        """For `peer`: good light begins at this reference [W/Wp]."""
        min_energy: Ratio = Field(default=1.0, gt=0)
        """For `learned`: a day counts from this energy of the reference on [Wh/Wp]."""
        bad_days: int = Field(default=5, ge=1)
        """For `learned`: so many bad days ..."""
        of_days: int = Field(default=7, ge=1, le=30)
        """... out of so many are an alert."""
        good_days: int = Field(default=2, ge=1, le=30)
        """For `learned`: so many good whole days end it."""
        min_days: int = Field(default=14, ge=3, le=60)
        """So many days make the usual ratio known."""
        learning_days: int = Field(default=30, ge=3, le=60)
        """The usual ratio is the median of so many good days."""
        max_fall_per_day: Ratio = Field(default=0.005, lt=1)
        """How fast the usual ratio may fall: 0.005 is half a percent a day."""
        learn_from: str = "production_w"
        """The recorded quantity [W] to learn from where this node begins without a past; empty: do not."""

        @model_validator(mode="after")
        def _fits_together(self) -> Self:
            if self.clear_ratio < self.ratio:
                raise ValueError(
                    f"clear_ratio ({self.clear_ratio:g}) is below ratio ({self.ratio:g}): a home would be low and "
                    "well at once; raise clear_ratio"
                )
            if self.bad_days > self.of_days:
                raise ValueError(f"{self.bad_days} bad days do not fit into {self.of_days} days; lower bad_days")
            return self

    State = HomeRecord

    config: Config
    state: KeyedState[HomeRecord]

    EXAMPLE = Example(
        text="Four homes, one of them at half of the others.",
        config={"rule": "peer", "period_s": 300, "persistence_s": 300},
        given=[
            at(10, home="casa_A", payload=0.60),
            at(10, home="casa_B", payload=0.62),
            at(10, home="casa_C", payload=0.61),
            at(10, home="casa_D", payload=0.305),
        ],
        then=[
            at(300, home="casa_D", payload={
                "alert": "performance_bassa", "rapporto": 0.5, "rendimento": 0.305, "riferimento": 0.61,
                "regola": "peer", "dal": 1_782_032_700.0,
            }),
            at(300, port=1, homes=4, reference=0.605),
        ],
    )  # fmt: skip

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        names = BenchmarkRules.__dataclass_fields__
        self._rules = BenchmarkRules(**{name: getattr(self.config, name) for name in names})
        self._live: dict[str, Live] = {}
        self._zone: tzinfo = UTC
        self._today = 0
        self._past: dict[str, HomeRecord] = {}
        self._learn_from_ts = 0.0

    def on_start(self) -> None:
        """Learn from the store where nothing is known yet; then compare, period by period."""
        name = str(self.services.settings.get("timezone") or "UTC")
        try:
            self._zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            self.error(f"there is no time zone '{name}'; days are cut in UTC: correct 'timezone' in flows.json")
        self.cancel(self.learn_a_day)  # one that was cut short by a restart begins anew
        if self.config.learn_from and len(self.state) == 0 and self.services.store and self.services.homes:
            self._learn_from_ts = self._midnight(self._local_day(self.clock.now()) - DAYS_LEARNED_FROM_STORE)
            self.after(0.0, self.learn_a_day)
        else:
            self.every(self.config.period_s, self.compare)

    def on_removed(self) -> None:
        """Nobody will watch these homes any more: their alerts must not stay open for ever."""
        for home, record in self.state.items():
            if record.cause and self.services.alerts:
                self.services.alerts.close(home, ALERT_CODE, self.clock.now(), {"regola": "removed"})

    # -- readings ---------------------------------------------------------------------------------------------------

    def on_input(self, msg: Message) -> None:
        """Remember a reading; the work is done once a period."""
        home = self.key(msg)
        if msg.get("reset"):
            self._reset(home)
            return
        value = self.number(msg)
        if not 0.0 <= value <= MAX_YIELD_W_PER_WP:
            raise NodeError(
                f"'{home}' sends {value:g}, and a yield lies between 0 and {MAX_YIELD_W_PER_WP:g} W/Wp; "
                "put a 'yield' node before this one"
            )
        if not self.is_live(msg, self.config.max_age_s):
            return
        live = self._live.get(home)
        if live is None:
            if len(self._live) >= self.max_keys:
                del self._live[next(iter(self._live))]
            live = self._live[home] = Live()
        live.total += value
        live.count += 1
        if msg["ts"] >= live.ts:
            live.value, live.ts = value, msg["ts"]
            power_w, community = msg.get("power_w"), msg.get("community")
            live.power_w = power_w if isinstance(power_w, int | float) else None
            live.community = community if isinstance(community, str) else ""

    def _reset(self, home: str) -> None:
        record = self.state.pop(home)
        if record is not None and record.cause:
            self._tell(home, record, "recovered", rule="reset")

    # -- comparing --------------------------------------------------------------------------------------------------

    def compare(self, _key: str = "") -> None:
        """The period is over: take in what was measured, judge every home, send the figures."""
        now = self.clock.now()
        period_s = self.config.period_s
        today = self._local_day(now - period_s / 2.0)
        if today != self._today:
            self._today = today
            self._begin_day(today, now)
        known = low = 0
        for community, members in sorted(self._communities().items()):
            yields = self._means(members, now)
            known += len(yields)
            references = peers.references_of(yields, self.config.min_homes)
            for home, own in yields.items():
                theirs = references.get(home)
                if theirs is not None:
                    self._take_in(home, own, theirs, now)
            figures = {home: self._figures(home, yields.get(home), references.get(home), now) for home in members}
            low += sum(figure["low"] for figure in figures.values())
            middle = median(yields.values()) if yields else None
            out: Message = {"payload": figures, "reference": middle, "homes": len(yields)}
            if community:
                out["community"] = community
            self.send(out, 1)
        for live in self._live.values():
            live.total, live.count = 0.0, 0
        self._show(known, low)

    def _begin_day(self, today: int, now: float) -> None:
        silent_since = now - 86_400.0
        for home, live in list(self._live.items()):
            if live.ts < silent_since:
                del self._live[home]
        for home, kept in self.state.items():
            if kept.today != today:
                record = self.state[home]
                peers.begin_day(record, self._rules, today)
                if not record.days and not record.cause and home not in self._live:
                    self.state.pop(home)  # gone for good, or never of use
                else:
                    self._tell(home, record, peers.judge(record, self._rules, now))

    def _communities(self) -> dict[str, list[str]]:
        """The homes that were heard, or that have an alert, by community."""
        homes = self.services.homes
        result: dict[str, list[str]] = {}
        silent = [home for home, record in self.state.items() if record.cause and home not in self._live]
        for home in [*self._live, *silent]:
            registered = homes.get(home) if homes else None
            live = self._live.get(home)
            community = registered.community if registered else live.community if live else ""
            result.setdefault(community, []).append(home)
        if "" in result and len(result) == 2:  # nobody said where these belong, and there is only one community
            unplaced = result.pop("")
            next(iter(result.values())).extend(unplaced)
        return result

    def _means(self, members: list[str], now: float) -> dict[str, float]:
        oldest = now - self.config.max_age_s - 1e-6
        found: dict[str, float] = {}
        for home in members:
            live = self._live.get(home)
            if live is not None and live.ts >= oldest:
                found[home] = live.total / live.count if live.count else live.value
        return found

    def _take_in(self, home: str, own: float, reference: float, now: float) -> None:
        kept = self.state.peek(home)
        if reference <= 0.0 and kept is not None and not kept.low_s and not kept.well_s:
            return  # night: nothing to write down
        record = self.state[home]
        peers.begin_day(record, self._rules, self._today)
        peers.observe(record, self._rules, own, reference, self.config.period_s)
        self._tell(home, record, peers.judge(record, self._rules, now), own, reference)

    def _tell(
        self, home: str, record: HomeRecord, verdict: Verdict, own: float | None = None,
        reference: float | None = None, rule: str = "",
    ) -> None:  # fmt: skip
        """The message of an episode's begin or end, and its entry in the list of alerts."""
        if not verdict:
            return
        low = verdict == "low"
        now = self.clock.now()
        payload: dict[str, Any] = {
            "alert": "performance_bassa" if low else "performance_ok",
            "rapporto": self._share(record, own, reference),
            "rendimento": own,
            "riferimento": reference,
            "regola": rule or record.cause or peers.rule_in_force(record, self._rules),
            "dal": record.since if low else now,
        }
        alerts = self.services.alerts
        if alerts is not None:
            details = {name: value for name, value in payload.items() if name != "alert"}
            if low:
                alerts.open(home, ALERT_CODE, details, now)
            else:
                alerts.close(home, ALERT_CODE, now, {"esito": payload["alert"]})
        self.send({"home": home, "event": "alert" if low else "clear", "payload": payload})

    def _share(self, record: HomeRecord, own: float | None, reference: float | None) -> float | None:
        """What the verdict rests on: the energies of the day for the daily rules, else the yields of the moment."""
        if record.cause in ("learned", "absolute") and record.reference > 0.0:
            return record.energy / record.reference
        if own is not None and reference:
            return own / reference
        return record.days[-1].ratio if record.days else None

    def _figures(self, home: str, own: float | None, reference: float | None, now: float) -> dict[str, Any]:
        live, record = self._live.get(home), self.state.peek(home)
        return {
            "yield": own,
            "reference": reference,
            "ratio": own / reference if own is not None and reference else None,
            "usual": record.usual if record else None,
            "days": len(record.days) if record else 0,
            "power_w": live.power_w if live else None,
            "age": now - live.ts if live else None,
            "low": bool(record and record.cause),
            "since": record.since if record and record.cause else None,
        }

    def _show(self, known: int, low: int) -> None:
        if known <= self.config.min_homes:
            self.status(f"{known} homes, {self.config.min_homes + 1} are needed to compare", "grey", "ring")
        else:
            self.status(f"{known} homes, {low} low", "red" if low else "green")

    # -- days and the past ------------------------------------------------------------------------------------------

    def _local_day(self, moment: float) -> int:
        return datetime.fromtimestamp(moment, self._zone).toordinal()

    def _midnight(self, day: int) -> float:
        return datetime.fromordinal(day).replace(tzinfo=self._zone).timestamp()

    def learn_a_day(self, _key: str = "") -> None:
        """Learn one day from the store; one at a time, so that live readings do not wait for all of them."""
        now = self.clock.now()
        day = self._local_day(self._learn_from_ts)
        end = self._midnight(day + 1)
        for hours in self._recorded(self._learn_from_ts, min(end, now - now % 3600.0)).values():
            peers.learn_day(self._past, self._rules, day, hours, self.config.min_homes)
        self._learn_from_ts = end
        if end <= now:
            self.after(0.0, self.learn_a_day)
            return
        for home, record in self._past.items():
            self.state[home] = record
        if self._past:
            self.info(f"learned from the recorded {self.config.learn_from} of {len(self._past)} homes")
        self._past = {}
        self.every(self.config.period_s, self.compare)

    def _recorded(self, start: float, end: float) -> dict[str, dict[float, dict[str, float]]]:
        """By community and hour: each home's yield [W/Wp]."""
        store, homes = self.services.store, self.services.homes
        found: dict[str, dict[float, dict[str, float]]] = {}
        for home in homes.all() if homes else ():
            if store and home.peak_power_wp:
                hours = found.setdefault(home.community, {})
                for hour in store.hourly(home.id, self.config.learn_from, start, end):
                    own = min(max(hour.mean / home.peak_power_wp, 0.0), MAX_YIELD_W_PER_WP)
                    hours.setdefault(hour.ts, {})[home.id] = own
        return found
