"""Times as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solarflow.scenario.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("5m30s", 330), ("1d2h", 93_600), ("0.2s", 0.2), ("-20d", -1_728_000), ("90m", 5400), (12.5, 12.5)],
)
def test_a_time_is_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-", "5", "5 m", "30s5m", "1w", True, None, [], "9999999999d", float("inf")])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="expected a time"):
        parse_duration(text)


@given(st.integers(-(10**11), 10**11))
def test_what_is_written_is_read_again_to_the_millisecond(milliseconds):
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds


@given(st.text())
def test_no_text_raises_anything_else(text):
    try:
        parse_duration(text)
    except ValueError as error:
        assert "expected a time" in str(error)
