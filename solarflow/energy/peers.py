"""A plant measured by its neighbours: the same sky shines on all, so one that falls behind the others has a fault.

Yields are specific power [W/Wp]; the reference of a home is the median yield of the other homes. What is known of one
home stands in a small `HomeRecord` that the functions here move on: `observe` with every measurement, `begin_day` at
local midnight, `judge` whenever an answer is wanted. Numbers in and out; the caller brings time and memory.

A home's share of its peers is rarely 1: roofs differ in tilt, orientation and shade. Three rules deal with that.

- `peer`: below a fixed share of the reference, without a break for some hours of good light. Needs no past, and fires
  for ever on a home whose roof is merely different.
- `learned`: each day's energy over the reference's energy is compared with what is usual for that home; five of the
  last seven days must be bad.
- `auto`: `peer`, less strict, until `min_days` have been learned, then `learned`; and from the first day on the
  absolute check, which reports a home with hardly any production on the very day.

What is usual is the median of the last 30 good days. A frozen memory fails on real roofs: tilts that differ make the
share swing by a third between August and December, up to 0.4 % a day. A plain rolling median follows dirt down and sees
it late or never. So the usual share rises freely and falls by at most `max_fall_per_day`: the seasons are followed,
dirt that settles faster is not. Bad days teach nothing.
benchmarks/benchmark_rule.py measures all of it on recorded homes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, NamedTuple

Rule = Literal["auto", "peer", "learned"]
Cause = Literal["", "peer", "learned", "absolute"]
"""What opened an episode; "" where none is open."""
Verdict = Literal["", "low", "recovered"]
"""What `judge` says: an episode begins, ends, or nothing new."""

DAYS_KEPT = 60
"""How many days a record holds at most."""
DARK_W_PER_WP = 0.005
"""Below this reference nothing is compared [W/Wp]: dusk, and the inverters' own consumption."""


@dataclass(frozen=True, slots=True)
class BenchmarkRules:
    """The thresholds. Ratios are own yield over the reference, or for `learned` over the usual ratio [1]."""

    rule: Rule = "auto"
    ratio: float = 0.85
    """Below this a home is doing badly."""
    clear_ratio: float = 0.90
    """From this on it is well again."""
    young_ratio: float = 0.75
    """In place of `ratio` for `auto` while a home's usual ratio is not known yet."""
    absolute_ratio: float = 0.5
    """Below this a day is a fault at once, and never teaches what is usual."""
    persistence_s: float = 14_400.0
    """For `peer`: how long without a break, in good light."""
    min_reference: float = 0.3
    """Good light: the reference from which `peer` compares [W/Wp]."""
    min_energy: float = 1.0
    """A day counts from this energy of the reference on [Wh/Wp]."""
    bad_days: int = 5
    of_days: int = 7
    good_days: int = 2
    """For `learned`: so many good whole days end an episode."""
    min_days: int = 14
    """So many days make a home's usual ratio known."""
    learning_days: int = 30
    """The usual ratio is the median of so many good days."""
    max_fall_per_day: float = 0.005
    """How fast the usual ratio may fall, as a share of itself per day."""


class Day(NamedTuple):
    """One local day of a home, over the times when both it and its reference were known."""

    day: int
    """The day's number (proleptic ordinal)."""
    energy: float
    """Own energy [Wh/Wp]."""
    reference: float
    """Energy of the reference [Wh/Wp]."""
    usual: float | None
    """The usual ratio on that day, where it was known."""
    teaches: bool
    """Whether it has a say in what is usual."""

    @property
    def ratio(self) -> float:
        """Own energy over the reference's [1]."""
        return self.energy / self.reference


@dataclass(slots=True)
class HomeRecord:
    """What is known of one home: at most 60 days, the running day, and its episode."""

    days: list[Day] = field(default_factory=list)
    today: int = 0
    energy: float = 0.0
    """Own energy of the running day [Wh/Wp]."""
    reference: float = 0.0
    """Energy of the reference on the running day, while the home was known too [Wh/Wp]."""
    usual: float | None = None
    usual_day: int = 0
    low_s: float = 0.0
    """How long it has been low, in good light, without a break."""
    well_s: float = 0.0
    """How long it has been well, likewise."""
    cause: Cause = ""
    since: float = 0.0
    """When the episode was opened (UTC seconds)."""
    opened_day: int = 0
    cleared_day: int = 0
    """Days up to this one are no evidence any more."""


def medians_of_others(values: Sequence[float]) -> list[float]:
    """For each value, the median of all the others; sorts once, then O(1) for each.

    Raises ValueError for fewer than two values, which have no others.
    """
    count = len(values)
    if count < 2:
        raise ValueError(f"the median of the others needs at least 2 values, not {count}")
    order = sorted(range(count), key=values.__getitem__)
    ranked = [values[place] for place in order]
    middle = (count - 1) // 2  # of the others; without one value, those behind it move up by one place
    result = [0.0] * count
    for rank, place in enumerate(order):
        upper = ranked[middle + (rank <= middle)]
        if (count - 1) % 2:
            result[place] = upper
        else:
            result[place] = (ranked[middle - 1 + (rank <= middle - 1)] + upper) / 2.0
    return result


def references_of(yields: Mapping[str, float], min_others: int) -> dict[str, float]:
    """For each home the median yield of the others; empty where they are fewer than `min_others` (at least 1)."""
    if len(yields) <= max(min_others, 1):
        return {}
    return dict(zip(yields, medians_of_others(list(yields.values())), strict=True))


def observe(record: HomeRecord, rules: BenchmarkRules, own: float, reference: float, duration_s: float) -> None:
    """Take in what a home and its peers gave [W/Wp] on the mean of the last `duration_s` seconds.

    Call it only where both are known: what nobody measured is neither good nor bad.
    """
    if reference < DARK_W_PER_WP:
        record.low_s = record.well_s = 0.0
        return
    hours = duration_s / 3600.0
    record.energy += own * hours
    record.reference += reference * hours
    if reference < rules.min_reference:
        record.low_s = record.well_s = 0.0
        return
    share = own / reference
    low = rules.young_ratio if rules.rule == "auto" else rules.ratio
    well = low + (rules.clear_ratio - rules.ratio)
    record.low_s = record.low_s + duration_s if share < low else 0.0
    record.well_s = record.well_s + duration_s if share >= well else 0.0


def begin_day(record: HomeRecord, rules: BenchmarkRules, today: int) -> None:
    """Make `today` the running day; the one before is closed and learned from.

    After more than 60 days without one that counts, what was learned belongs to another season and is forgotten.
    """
    if record.today == today:
        return
    if record.reference >= rules.min_energy:
        _close_day(record, rules)
    if record.days and today - record.days[-1].day > DAYS_KEPT and not record.cause:
        record.days, record.usual = [], None
    record.today, record.energy, record.reference = today, 0.0, 0.0


def learn_day(
    records: dict[str, HomeRecord],
    rules: BenchmarkRules,
    day: int,
    hours: Mapping[float, Mapping[str, float]],
    min_others: int,
) -> None:
    """Teach the records of homes that are neighbours one recorded day: hour -> home -> mean yield [W/Wp].

    Call it for one day after the other; nobody is judged by the past.
    """
    for hour in sorted(hours):
        for home, reference in references_of(hours[hour], min_others).items():
            record = records.setdefault(home, HomeRecord())
            begin_day(record, rules, day)
            observe(record, rules, hours[hour][home], reference, 3600.0)
            record.low_s = record.well_s = 0.0


def rule_in_force(record: HomeRecord, rules: BenchmarkRules) -> Literal["peer", "learned"]:
    """By which rule this home is judged now."""
    learned = rules.rule == "learned" or (rules.rule == "auto" and record.usual is not None)
    return "learned" if learned else "peer"


def judge(record: HomeRecord, rules: BenchmarkRules, now: float) -> Verdict:
    """Whether an episode begins ("low") or ends ("recovered") at `now` (UTC seconds); the record remembers it."""
    learned = rules.rule != "peer" and record.usual is not None
    if record.cause:
        if _well_again(record, rules, learned):
            forget_episode(record)
            return "recovered"
        return ""
    cause = _cause(record, rules, learned)
    if not cause:
        return ""
    record.cause, record.since, record.opened_day = cause, now, record.today
    record.well_s = 0.0
    return "low"


def forget_episode(record: HomeRecord) -> None:
    """End an episode; the days up to now count no more."""
    record.cause, record.since = "", 0.0
    record.cleared_day = record.today
    record.low_s = record.well_s = 0.0


def evidence(record: HomeRecord, rules: BenchmarkRules) -> list[float]:
    """Energy over what was usual [1] of the last days that count, the running one included once it means something."""
    oldest = max(record.cleared_day, record.today - 3 * rules.of_days)
    found = [day.ratio / day.usual for day in record.days[-rules.of_days :] if day.usual and day.day > oldest]
    if record.usual and record.reference >= rules.min_energy and record.today > record.cleared_day:
        found.append(record.energy / record.reference / record.usual)
    return found[-rules.of_days :]


def _cause(record: HomeRecord, rules: BenchmarkRules, learned: bool) -> Cause:
    if rules.rule == "auto" and _hardly_produces(record, rules):
        return "absolute"
    if learned:
        bad = sum(share < rules.ratio for share in evidence(record, rules))
        return "learned" if bad >= rules.bad_days else ""
    if rules.rule != "learned" and record.low_s >= rules.persistence_s:
        return "peer"
    return ""


def _well_again(record: HomeRecord, rules: BenchmarkRules, learned: bool) -> bool:
    if not learned:
        # Without a usual ratio the rule `learned` has nothing to compare with: such an episode came from another rule.
        return record.well_s >= rules.persistence_s
    whole = [day for day in record.days[-rules.good_days :] if day.day > record.opened_day and day.usual]
    return len(whole) == rules.good_days and all(day.ratio / (day.usual or 1.0) >= rules.clear_ratio for day in whole)


def _hardly_produces(record: HomeRecord, rules: BenchmarkRules) -> bool:
    """The absolute check, once half a usual day's light is in: a west roof has next to nothing until noon."""
    if record.today == record.cleared_day:
        return False
    light = median(day.reference for day in record.days[-rules.of_days :]) if record.days else 0.0
    if record.reference < max(2.0 * rules.min_energy, light / 2.0):
        return False
    return record.energy < rules.absolute_ratio * (record.usual or 1.0) * record.reference


def _close_day(record: HomeRecord, rules: BenchmarkRules) -> None:
    day = Day(record.today, record.energy, record.reference, record.usual, teaches=False)
    if record.usual is None:
        # Whether the home is different or faulty, nobody knows as yet.
        day = day._replace(teaches=day.ratio >= rules.absolute_ratio)
    else:
        # Also within an episode: a home that stays between `ratio` and `clear_ratio` is not badly off, only changed.
        day = day._replace(teaches=day.ratio >= rules.ratio * record.usual)
    record.days.append(day)
    del record.days[:-DAYS_KEPT]
    if day.teaches:
        _learn(record, rules)


def _learn(record: HomeRecord, rules: BenchmarkRules) -> None:
    teaching = [day.ratio for day in record.days if day.teaches]
    if record.usual is None and len(teaching) < rules.min_days:
        return
    centre = median(teaching[-rules.learning_days :])
    if record.usual is None:
        record.usual = centre
        # Only now can be told which of the first days were bad.
        record.days = [
            day._replace(usual=centre, teaches=day.teaches and day.ratio >= rules.ratio * centre) for day in record.days
        ]
    else:
        falls = (1.0 - rules.max_fall_per_day) ** max(0, record.today - record.usual_day)
        record.usual = max(centre, record.usual * falls)
    record.usual_day = record.today
