"""JavaScript's loose values, as ECMA-262 has them."""

import math
import time

import pytest

from solarflow.loose import is_json, leading_number, less, loosely_equal, to_number, to_text
from solarflow.message import MISSING


@pytest.mark.parametrize(
    ("value", "number"),
    [("12", 12), (" 1.5e3 ", 1500), ("", 0), ("0x1f", 31), ("0b11", 3), (None, 0), (True, 1), ([7], 7), ("-.5", -0.5)],
)
def test_what_has_a_number_is_that_number(value, number):
    assert to_number(value) == number


@pytest.mark.parametrize("value", [MISSING, "12 W", "1_000", "nan", "infinity", {}, [1, 2]])
def test_what_has_no_number_is_nan(value):
    assert math.isnan(to_number(value))


def test_a_leading_number_is_read_up_to_what_is_none():
    assert leading_number("21.5 °C") == 21.5
    assert math.isnan(leading_number("°C 21.5"))
    assert math.isnan(leading_number(True))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"), (0.1, "0.1"), (1e21, "1e+21"), (1e-7, "1e-7"), (1.5e-7, "1.5e-7"), (0.000001, "0.000001"),
        (1e16, "10000000000000000"), (-0.0, "0"), (math.nan, "NaN"), (-math.inf, "-Infinity"), (True, "true"),
        (None, "null"), (MISSING, "undefined"), ([1, None, "a", [2.0]], "1,,a,2"), ({"a": 1}, "[object Object]"),
        (b"caff\xc3\xa8", "caffè"),
    ],
)  # fmt: skip
def test_a_value_has_the_text_that_javascript_gives_it(value, text):
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("a", "b"),
    [("1", 1), (1, 1.0), (True, 1), ("true", "true"), (None, MISSING), ([1, 2], "1,2"), ("", 0), ("", False)],
)
def test_loosely_equal(a, b):
    assert loosely_equal(a, b)
    assert loosely_equal(b, a)


@pytest.mark.parametrize(
    ("a", "b"), [(None, 0), (MISSING, ""), ("true", True), ([], []), (math.nan, math.nan), ("a", 1)]
)
def test_not_even_loosely_equal(a, b):
    assert not loosely_equal(a, b)
    assert not loosely_equal(b, a)


def test_two_texts_are_ordered_by_their_characters_and_a_text_and_a_number_as_numbers():
    assert less("10", "9")
    assert not less("10", 9)
    assert less(None, 1)
    assert less(5, "5", or_equal=True)
    assert not less(MISSING, 1)
    assert not less(1, MISSING)


@pytest.mark.parametrize("text", ["1" * 60_000 + "x", "1." + "1" * 60_000 + "x", "+" * 60_000])
def test_a_long_text_that_is_no_number_after_all_takes_no_time(text):
    began = time.process_time()
    assert math.isnan(to_number(text))
    assert time.process_time() - began < 1  # some forty seconds where every digit is tried with every other


def test_what_json_does_not_give_back_is_not_json():
    assert is_json({"a": [1, 2.5, None, True, "x"]})
    for value in (b"x", {1: 2}, [math.nan], (1, 2), object(), MISSING):
        assert not is_json({"payload": value})
