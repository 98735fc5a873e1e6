"""Regular expressions over what devices send: they mean what they mean in JavaScript, and they end."""

import re
import time
import warnings

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from solarflow.errors import NodeError
from solarflow.patterns import LIMIT_S, MAX_PATTERN, PatternTimeoutError, expand, literal, pattern

TOO_SLOW = {
    "a repeat in a repeat": (r"^(a+)+$", "a" * 5000 + "!"),
    "or with twice the same": (r"^(a|a)*$", "a" * 40 + "!"),
    "or with the same twice as long": (r"^(a|aa)+$", "a" * 60 + "!"),
    "blanks at the end": (r"\s+$", " " * 60_000 + "x"),
}


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        (r"^(?<n>\d+)-\k<n>$", "12-12", "12-13"), (r"^\d$", "1", "\u0661"),
        (r"^[\w$]+$", "a_$", "è"), (r"a$", "a", "a\n"),
        (r"^[^]$", "\n", ""), (r"^\/x\-y$", "/x-y", "x-y"), (r"^[[]$", "[", "]"), (r"^(?<!a)b$", "b", "ab"),
        (r"^a{e<=1}$", "a{e<=1}", "b"), (r"^a{,2}$", "a{,2}", "aa"), (r"^[{]{2}$", "{{", "{"),
    ],
)  # fmt: skip
def test_a_regular_expression_means_what_it_means_in_javascript(text, matching, other):
    assert pattern(text).search(matching)
    assert not pattern(text).search(other)


def test_what_is_no_regular_expression_is_said_so():
    with pytest.raises(NodeError, match="'\\+\\*\\*' is not a regular expression: nothing to repeat at position 0"):
        pattern("+**")


def test_a_replacement_names_what_was_found():
    found = pattern("(b)(?<n>c)?").search("abcd")
    assert expand("[$1|$2|$&|$`|$'|$$|$3|$<n>|$12]", found) == "[b|c|bc|a|d|$|$3|c|b2]"


@pytest.mark.parametrize("text", [r"\h", r"(?R)", r"(?|a|b)", r"\p{L}", "(", "a{2", "(?<n>a)(?<n>b)", "(" * 5000])
def test_a_pattern_that_is_not_understood_is_refused_and_never_taken_for_another(text):
    try:
        assert pattern(text).search(text)  # what is no sign stands for itself
    except NodeError as error:
        assert "is not a regular expression" in str(error)


def test_a_pattern_that_is_too_long_is_refused():
    with pytest.raises(NodeError, match="has 10001 characters, where 10000 are allowed"):
        pattern("a" * (MAX_PATTERN + 1))


@pytest.mark.parametrize(("text", "subject"), TOO_SLOW.values(), ids=TOO_SLOW)
@pytest.mark.parametrize("way", ["search", "sub"])
def test_a_match_that_would_take_for_ever_ends_with_an_error(text, subject, way):
    run = {"search": pattern(text).search, "sub": lambda given: pattern(text).sub(lambda _found: "", given)}[way]
    began = time.process_time()
    with pytest.raises(PatternTimeoutError, match=f"a text of {len(subject)} characters after 50 ms; write it without"):
        run(subject)
    assert time.process_time() - began < 10 * LIMIT_S


def test_a_match_of_all_the_text_ends_too():
    with pytest.raises(PatternTimeoutError):
        pattern("(a|aa)+").fullmatch("a" * 60 + "!")


@pytest.mark.parametrize("text", [r"(a+)+$", r"(a|b)+", "a+a+$", "a?a?a?", "a{9}b{9}", "a*|b", r"(.*)\1"])
def test_only_a_pattern_with_one_choice_runs_without_a_limit(text):
    assert pattern(text)._limit("short") == LIMIT_S


@pytest.mark.parametrize("text", ["^casa_[A-Z]$", "error|fault|alarm", r"^\d+$", "abc"])
def test_a_simple_pattern_runs_without_a_limit_over_a_short_text_only(text):
    assert pattern(text)._limit("x" * 1000) is None
    assert pattern(text)._limit("x" * 1001) == LIMIT_S


@given(
    st.text("ab.*+?|()[]{},01^\\dw", max_size=12),
    st.text("ab01 d.", max_size=12),
    st.booleans(),
)
def test_matches_are_those_of_the_standard_library(text, subject, ignore_case):
    assume("$" not in text and not re.search(r"\\[\dwd]|\{|\[\^?\]", text))  # where the languages differ
    try:
        with warnings.catch_warnings(action="ignore"):
            standard = re.compile(text, re.IGNORECASE if ignore_case else 0)
    except re.error:
        with pytest.raises(NodeError):
            pattern(text, ignore_case)
        return
    found, expected = pattern(text, ignore_case).search(subject), standard.search(subject)
    assert (found and (found.span(), found.groups())) == (expected and (expected.span(), expected.groups()))


def test_a_literal_is_found_as_it_is_written():
    assert literal("a.b{1}").sub(lambda found: f"<{found[0]}>", "a.b{1} axb{1}") == "<a.b{1}> axb{1}"
