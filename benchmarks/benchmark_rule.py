"""How the benchmark's rules do on recorded homes: false alarms on clean data, detection of injected losses.

    python benchmarks/benchmark_rule.py [--data ../shared/data] [--losses 10] [--loss 0.25] [--node]

Nine homes, one year, hourly (CityLearn 2022). A loss begins at a random day of 90..300 and counts as found where an
episode begins within 30 days, none being open when the loss begins. With `--node` the readings also go through the
benchmark node in an engine, in virtual time, every home with a loss in a community of its own beside clean ones.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from solarflow.energy.peers import BenchmarkRules, HomeRecord, Rule, begin_day, judge, medians_of_others, observe
from solarflow.registry import load_registry
from solarflow.testing import NodeBench

Yields = NDArray[np.float64]
"""[W/Wp], homes x days x 24 hours."""

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent / "shared" / "data"
FIRST_DAY, LAST_DAY, WITHIN_DAYS = 90, 300, 30
FIRST_MIDNIGHT_S = 15 * 3600.0
"""The bench begins at 09:00 UTC."""


@dataclass(frozen=True)
class Loss:
    """`home` gives (1 - `share`) of normal from `day` on."""

    home: int
    day: int
    share: float


@dataclass
class Story:
    """What a rule said of one home: its episodes as (first day, last day), days from the start of the recording."""

    episodes: list[tuple[int, int]] = field(default_factory=list)

    def alarm_days(self) -> int:
        """Days with an open episode."""
        return len({day for first, last in self.episodes for day in range(first, last + 1)})

    def found_after(self, loss: Loss) -> int | None:
        """Days from the loss to its episode, or None where it was missed or an older episode was open."""
        if any(first < loss.day <= last for first, last in self.episodes):
            return None
        return next((first - loss.day for first, _ in self.episodes if 0 <= first - loss.day < WITHIN_DAYS), None)


def read_yields(folder: Path) -> Yields:
    """The recorded yields. Raises FileNotFoundError where the recordings are not there.

    `solar_generation` is W per kW installed, on the mean of the hour that ends at `hour`; the first row is the last
    hour of 31 July and is left out, the missing last hour of the year is night.
    """
    homes = []
    for number in range(1, 10):
        with (folder / "citylearn" / f"Building_{number}.csv").open(newline="") as file:
            values = [float(row["solar_generation"]) / 1000.0 for row in csv.DictReader(file)]
        homes.append([*values[1:], 0.0])
    return np.array(homes).reshape(len(homes), -1, 24)


def random_losses(homes: int, each: int, share: float, seed: int = 0) -> list[Loss]:
    """`each` losses of every home."""
    days = np.random.default_rng(seed).integers(FIRST_DAY, LAST_DAY, size=(homes, each))
    return [Loss(home, int(day), share) for home in range(homes) for day in days[home]]


def references(yields: Yields) -> Yields:
    """For every home and hour, the median of the other homes."""
    columns = yields.reshape(len(yields), -1).T
    return np.array([medians_of_others(column) for column in columns.tolist()]).T.reshape(yields.shape)


def follow(own: Yields, reference: Yields, rules: BenchmarkRules) -> Story:
    """What the rules say of one home: days x 24 of its own yields and its reference's."""
    record, story = HomeRecord(), Story()
    for day, hours in enumerate(zip(own.tolist(), reference.tolist(), strict=True)):
        begin_day(record, rules, day + 1)
        for hour, (mine, theirs) in enumerate(zip(*hours, strict=True)):
            observe(record, rules, mine, theirs, 3600.0)
            _note(story, judge(record, rules, (day * 24.0 + hour + 1.0) * 3600.0), day)
    if record.cause:
        _note(story, "recovered", len(own) - 1)
    return story


def _note(story: Story, verdict: str, day: int) -> None:
    if verdict == "low":
        story.episodes.append((day, day))
    elif verdict:
        story.episodes[-1] = (story.episodes[-1][0], day)


def with_loss(yields: Yields, loss: Loss) -> Yields:
    """The lossy home's own yields."""
    own: Yields = yields[loss.home].copy()
    own[loss.day :] *= 1.0 - loss.share
    return own


def through_library(
    yields: Yields, losses: Iterable[Loss], rules: BenchmarkRules
) -> tuple[list[Story], list[tuple[Loss, Story]]]:
    """(each home's clean story, each loss with its story)."""
    reference = references(yields)  # of the others: a home's own loss does not change it
    clean = [follow(yields[home], reference[home], rules) for home in range(len(yields))]
    return clean, [(loss, follow(with_loss(yields, loss), reference[loss.home], rules)) for loss in losses]


def through_node(
    yields: Yields, losses: Iterable[Loss], rule: Rule = "auto"
) -> tuple[list[Story], list[tuple[Loss, Story]]]:
    """The same through the node in an engine in virtual time, hourly; one clean community, and one for each loss."""
    listed = list(losses)
    communities = [yields, *(with_one(yields, loss) for loss in listed)]
    bench = NodeBench(load_registry()["benchmark"], {"rule": rule, "period_s": 3600, "max_age_s": 3600})
    stories = {(place, home): Story() for place in range(len(communities)) for home in range(len(yields))}
    midnight = FIRST_MIDNIGHT_S
    columns = [community.reshape(len(yields), -1).T.tolist() for community in communities]
    names = [[(f"{place}/{home}", f"c{place}") for home in range(len(yields))] for place in range(len(communities))]
    for hour in range(len(columns[0])):
        moment = midnight + 3600.0 * (hour + 1)
        if any(columns[0][hour]):
            bench.advance_to(moment - 1.0)  # the mean of an hour is known at its end, and judged right then
            for place, column in enumerate(columns):
                for (name, community), value in zip(names[place], column[hour], strict=True):
                    bench.input({"home": name, "community": community, "payload": value})
    bench.advance_to(midnight + 86_400.0 * yields.shape[1])
    if bench.errors:
        raise RuntimeError(f"the node refused readings: {bench.errors[0]}")
    for seen in bench.sent:
        if seen.port == 0:
            place, home = map(int, seen.msg["home"].split("/"))
            low = seen.msg["payload"]["alert"] == "performance_bassa"
            _note(stories[place, home], "low" if low else "recovered", int((seen.t - midnight - 1.0) // 86_400))
    for key, story in stories.items():
        record = bench.node.state.peek(f"{key[0]}/{key[1]}")
        if record is not None and record.cause:
            _note(story, "recovered", yields.shape[1] - 1)
    clean = [stories[0, home] for home in range(len(yields))]
    return clean, [(loss, stories[place, loss.home]) for place, loss in enumerate(listed, start=1)]


def with_one(yields: Yields, loss: Loss) -> Yields:
    """All homes, one of them with a loss."""
    changed = yields.copy()
    changed[loss.home] = with_loss(yields, loss)
    return changed


def false_alarm_share(clean: list[Story], yields: Yields) -> float:
    """Home-days with an open episode, of all home-days [1]; the recording's own outages are counted too."""
    return sum(story.alarm_days() for story in clean) / int(yields.shape[0] * yields.shape[1])


def detection(lossy: list[tuple[Loss, Story]]) -> tuple[float, float]:
    """(share of the losses that were found [1], median delay in days)."""
    delays = [story.found_after(loss) for loss, story in lossy]
    found = [delay for delay in delays if delay is not None]
    return len(found) / len(delays), median(found) if found else float("nan")


def line(name: str, clean: list[Story], lossy: list[tuple[Loss, Story]], yields: Yields, seconds: float) -> str:
    """One row of the table."""
    share, delay = detection(lossy)
    episodes = sum(len(story.episodes) for story in clean)
    homes = sum(bool(story.episodes) for story in clean)
    return (
        f"{name:<22} {100 * false_alarm_share(clean, yields):>12.2f} % {episodes:>9} {homes:>6} "
        f"{100 * share:>9.0f} % {delay:>9.0f} {seconds:>9.1f}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the recordings")
    parser.add_argument("--losses", type=int, default=10, help="losses of each home")
    parser.add_argument("--loss", type=float, default=0.25, help="share of the production that is lost")
    parser.add_argument("--node", action="store_true", help="drive the node in an engine too")
    options = parser.parse_args(arguments)
    say = sys.stdout.write
    try:
        yields = read_yields(options.data)
    except FileNotFoundError as error:
        say(f"skipped: the recordings are not there ({error.filename})\n")
        return 0
    losses = random_losses(len(yields), options.losses, options.loss)
    reference = references(yields)
    days = reference.sum(axis=2) >= BenchmarkRules().min_energy
    bare = (yields.sum(axis=2) < 0.85 * reference.sum(axis=2)) & days
    outages = (yields.sum(axis=2) < 0.3 * reference.sum(axis=2)) & days
    say(f"{len(yields)} homes, {yields.shape[1]} days; {len(losses)} losses of {100 * options.loss:.0f} %\n")
    say(f"bare rule, day below 0.85 of the others' median: {100 * bare.sum() / bare.size:.1f} % of home-days, ")
    say(f"{int(bare.any(axis=1).sum())} homes\n")
    say(f"days on which a home was really out (below 0.3 of the others): {int(outages.sum())}\n\n")
    say(f"{'rule':<22} {'false alarms':>14} {'episodes':>9} {'homes':>6} {'found':>11} {'days':>9} {'seconds':>9}\n")
    for rule in ("peer", "learned", "auto"):
        begun = time.perf_counter()
        clean, lossy = through_library(yields, losses, replace(BenchmarkRules(), rule=rule))
        say(line(rule, clean, lossy, yields, time.perf_counter() - begun) + "\n")
    if options.node:
        begun = time.perf_counter()
        some = losses[:: max(1, options.losses // 2)]
        clean, lossy = through_node(yields, some)
        say(line(f"auto, node ({len(some)} losses)", clean, lossy, yields, time.perf_counter() - begun) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
