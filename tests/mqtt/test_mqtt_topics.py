"""Topics, filters and templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solarflow.errors import NodeError, UsageError
from solarflow.mqtt import TopicError, TopicTemplate, matches, validate_filter, validate_topic
from solarflow.mqtt.topics import covers, overlap

LEVEL = st.sampled_from(["", "a", "b", "$a"])
TOPICS = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = (
    st.tuples(st.lists(st.one_of(LEVEL, st.just("+")), max_size=4), st.sampled_from([[], ["#"]]))
    .map(lambda parts: "/".join(parts[0] + parts[1]))
    .filter(bool)
)


def reference(topic_filter: str, topic: str) -> bool:
    """The specification's sentences (4.7.1, 4.7.2), one after the other, recursively."""

    def walk(wanted: list[str], levels: list[str]) -> bool:
        if wanted == ["#"]:
            return True
        if not wanted or not levels:
            return not wanted and not levels
        return wanted[0] in ("+", levels[0]) and walk(wanted[1:], levels[1:])

    if topic[0] == "$" and topic_filter[0] in "+#":
        return False
    return walk(topic_filter.split("/"), topic.split("/"))


@given(FILTERS, TOPICS)
def test_matching_agrees_with_the_specification(topic_filter: str, topic: str) -> None:
    assert matches(topic_filter, topic) == reference(topic_filter, topic)


@given(FILTERS, FILTERS, TOPICS)
def test_what_a_covered_filter_matches_the_covering_one_matches_too(wide: str, narrow: str, topic: str) -> None:
    if covers(wide, narrow) and matches(narrow, topic):
        assert matches(wide, topic)


@given(FILTERS, FILTERS, TOPICS)
def test_two_filters_that_match_one_topic_overlap(one: str, other: str, topic: str) -> None:
    if matches(one, topic) and matches(other, topic):
        assert overlap(one, other)


@pytest.mark.parametrize(
    ("topic_filter", "topic"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1"),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
        ("sport/tennis/+", "sport/tennis/player1"),
        ("sport/+", "sport/"),
        ("+/+", "/finance"),
        ("$SYS/#", "$SYS/broker/version"),
        ("$share/engines/comunita/+/produzione", "comunita/casa_A/produzione"),
    ],
)
def test_the_specifications_examples_match(topic_filter: str, topic: str) -> None:
    assert matches(topic_filter, topic)


@pytest.mark.parametrize(
    ("topic_filter", "topic"),
    [("sport/tennis/+", "sport/tennis/player1/ranking"), ("sport/+", "sport"), ("+", "/finance"), ("#", "$SYS/a")],
)
def test_the_specifications_counterexamples_do_not_match(topic_filter: str, topic: str) -> None:
    assert not matches(topic_filter, topic)


@pytest.mark.parametrize(
    ("wide", "narrow", "answer"),
    [
        ("#", "a/+/c", True),
        ("a/#", "a", True),
        ("a/+/#", "a/#", False),
        ("a/+", "a/#", False),
        ("#", "$SYS/#", False),
        ("a/+/c", "a/b/+", False),
        ("a/#", "$share/g/a/b", False),
    ],
)
def test_a_filter_covers_another_when_it_matches_all_of_its_topics(wide: str, narrow: str, answer: bool) -> None:
    assert covers(wide, narrow) is answer


@pytest.mark.parametrize("bad", ["", "a/#/b", "a#", "a/b+", "a\0b", "\ud800", "$share/g", "$share/+/a", "x" * 65536])
def test_what_is_no_filter_is_refused(bad: str) -> None:
    with pytest.raises(TopicError):
        validate_filter(bad)


@pytest.mark.parametrize("bad", ["", "a/+", "#", "a\0b", "\ud800", "x" * 65536])
def test_one_cannot_publish_to_what_is_no_topic(bad: str) -> None:
    with pytest.raises(TopicError):
        validate_topic(bad)


def test_a_topic_error_tells_the_mend_and_suits_validators() -> None:
    with pytest.raises(ValueError, match="'#' must be the whole last level, as in 'a/b/#'") as caught:
        validate_filter("a/#/b")
    assert isinstance(caught.value, UsageError)


def test_a_template_subscribes_with_a_plus_and_names_what_it_found() -> None:
    template = TopicTemplate("comunita/{home}/produzione")
    assert template.filter == "comunita/+/produzione"
    assert template.match("comunita/casa_A/produzione") == {"home": "casa_A"}
    assert template.match("comunita/casa_A/bilancio") is None


def test_plain_wildcards_work_beside_names() -> None:
    template = TopicTemplate("+/{home}/rele/#")
    assert template.filter == "+/+/rele/#"
    assert template.match("comunita/casa_A/rele/1/set") == {"home": "casa_A"}
    assert template.match("comunita/casa_A/rele") == {"home": "casa_A"}


def test_a_template_can_be_a_shared_filter() -> None:
    template = TopicTemplate("$share/engines/comunita/{home}/produzione")
    assert template.match("comunita/casa_A/produzione") == {"home": "casa_A"}


def test_an_empty_level_is_no_name() -> None:
    assert TopicTemplate("comunita/{home}/produzione").match("comunita//produzione") is None


def test_a_match_is_the_callers_own() -> None:
    template = TopicTemplate("comunita/{home}")
    found = template.match("comunita/casa_A")
    assert found is not None
    found["home"] = "changed"
    assert template.match("comunita/casa_A") == {"home": "casa_A"}


def test_formatting_fills_the_names() -> None:
    assert TopicTemplate("comunita/{home}/rele/{n}/set").format(home="casa_A", n="1") == "comunita/casa_A/rele/1/set"


@pytest.mark.parametrize("value", ["", "a/b", "+", "#", "a\0b", 7])
def test_formatting_refuses_what_would_lead_elsewhere(value: str) -> None:
    with pytest.raises(NodeError, match="cannot be a level of the topic"):
        TopicTemplate("comunita/{home}").format(home=value)


def test_formatting_names_the_missing_value() -> None:
    with pytest.raises(NodeError, match="needs a value for 'home'"):
        TopicTemplate("comunita/{home}").format()


def test_no_topic_can_be_made_of_a_plain_wildcard() -> None:
    with pytest.raises(NodeError, match="has a '\\+'"):
        TopicTemplate("+/{home}").format(home="a")


@pytest.mark.parametrize("bad", ["comunita/x{home}", "comunita/{}", "comunita/{1}", "{home}/{home}", "{a/b}", ""])
def test_what_is_no_template_is_refused(bad: str) -> None:
    with pytest.raises(TopicError):
        TopicTemplate(bad)


@given(FILTERS, TOPICS)
def test_a_template_without_names_matches_like_its_filter(text: str, topic: str) -> None:
    assert (TopicTemplate(text).match(topic) is not None) == matches(text, topic)


@given(st.text(st.characters(exclude_characters="/+#\0", exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_what_was_formatted_is_found_again(home: str) -> None:
    template = TopicTemplate("comunita/{home}/produzione")
    assert template.match(template.format(home=home)) == {"home": home}
