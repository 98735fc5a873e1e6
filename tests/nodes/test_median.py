import pytest

from solarflow.testing import at


def test_the_figure_follows_each_message(node):
    median = node("median")
    for home, value in (("a", 1), ("b", 5), ("c", 3)):
        median.feed(value, home=home)
    assert median.payloads == [1, 3, 3]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"figure": "mean"}, 22),
        ({"figure": "trimmed mean", "trim": 0.2}, 3),
        ({"figure": "quantile", "quantile": 0.25}, 2),
        ({"figure": "sum"}, 110),
        ({"figure": "min"}, 1),
        ({"figure": "max"}, 100),
    ],
)
def test_other_figures(node, config, expected):
    median = node("median", config)
    for number, value in enumerate((1, 2, 3, 4, 100)):
        median.feed(value, home=f"casa_{number}")
    assert median.last["payload"] == expected


def test_a_home_is_compared_with_the_others(node):
    median = node("median", without_own=True, min_count=2)
    for home, value in (("a", 1), ("b", 2), ("c", 9)):
        median.feed(value, home=home)
    assert median.sent == [at(0, home="c", payload=1.5, own=9, count=2)]


def test_old_values_are_left_out(node):
    median = node("median", max_age_s=60)
    median.feed(1, home="a")
    median.feed(9, home="b", at=61)
    assert median.last == {**median.last, "payload": 9, "count": 1}


def test_an_older_reading_does_not_replace_a_newer_one(node):
    median = node("median")
    median.feed(5, home="a", at=100)
    median.feed(1, home="a", ts=median.clock.now() - 50)
    assert median.last["payload"] == 5


def test_at_a_pace_of_its_own(node):
    median = node("median", period_s=300)
    median.feed(1, home="a")
    median.feed(2, home="b")
    assert median.sent == []
    median.advance_to(601)
    assert median.sent == [at(300, payload=1.5, count=2), at(600, payload=1.5, count=2)]


def test_values_survive_a_restart(node):
    median = node("median")
    median.feed(1, home="a")
    median.restart()
    median.feed(3, home="b")
    assert median.last["payload"] == 2


def test_a_message_without_a_home_says_so(node):
    median = node("median")
    median.feed(1)
    assert median.errors == ["the message has no 'home', which tells whose it is"]
