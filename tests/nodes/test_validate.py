import pytest
from pydantic import ValidationError

from solarflow.nodes.function.validate import Validate

READING = [
    {"property": "home", "kind": "text", "pattern": "[A-Za-z0-9_.-]{1,64}"},
    {"property": "payload.potenza_w", "minimum": 0, "maximum": 100000},
    {"property": "payload.rendimento", "required": False, "maximum": 1.5},
]


def test_a_message_that_keeps_every_rule_goes_on_unchanged(node):
    validate = node("validate", rules=READING)
    validate.input({"home": "casa_A", "payload": {"potenza_w": 1500, "rendimento": 0.5}, "topic": "t"})
    assert validate.sent[0].port == 0
    assert validate.last["payload"] == {"potenza_w": 1500, "rendimento": 0.5}
    assert "reasons" not in validate.last


@pytest.mark.parametrize(
    ("msg", "reason"),
    [
        ({"home": "a"}, "payload.potenza_w is missing"),
        ({"home": "a", "payload": {"potenza_w": None}}, "payload.potenza_w is missing"),
        ({"home": "a", "payload": {"potenza_w": -1}}, "payload.potenza_w must be at least 0 and is -1"),
        ({"home": "a", "payload": {"potenza_w": 1e6}}, "payload.potenza_w must be at most 100000 and is 1000000.0"),
        ({"home": "a", "payload": {"potenza_w": "1500"}}, "payload.potenza_w must be a number and is '1500'"),
        ({"home": "a", "payload": {"potenza_w": True}}, "payload.potenza_w must be a number and is True"),
        ({"home": "a", "payload": {"potenza_w": float("nan")}}, "payload.potenza_w must be a finite number and is nan"),
        ({"home": "a/b", "payload": {"potenza_w": 1}}, "home must look like [A-Za-z0-9_.-]{1,64} and is 'a/b'"),
        (
            {"home": "a", "payload": {"potenza_w": 1, "rendimento": 9}},
            "payload.rendimento must be at most 1.5 and is 9",
        ),
    ],
)
def test_a_message_that_breaks_a_rule_leaves_by_the_second_output_with_the_reason(node, msg, reason):
    validate = node("validate", rules=READING)
    validate.input(msg)
    assert (validate.sent[0].port, validate.last["reason"]) == (1, reason)


def test_every_reason_is_told_at_once(node):
    validate = node("validate", rules=READING)
    validate.input({"payload": {}})
    assert validate.last["reasons"] == ["home is missing", "payload.potenza_w is missing"]


def test_reasons_call_a_property_as_its_sender_knows_it(node):
    rules = [
        {"property": "override", "called": "stato", "kind": "text", "pattern": "on|off"},
        {"property": "for_s", "called": "per_s", "minimum": 1},
        {"property": "by", "called": "da", "kind": "text", "required": False},
    ]
    validate = node("validate", rules=rules)
    validate.input({"override": "boh", "by": 7})
    assert validate.last["reasons"] == [
        "stato must look like on|off and is 'boh'",
        "per_s is missing",
        "da must be a text and is 7",
    ]


@pytest.mark.parametrize(
    ("home", "reason"),
    [
        ("casa_A", None),
        ("casa_B", "the home casa_B is not approved; `solarflow homes approve casa_B`"),
        ("casa_ZZ", "the home casa_ZZ is not approved; `solarflow homes approve casa_ZZ`"),
        ("../casa_A", "home must be the id of a home, 1 to 64 of A-Z a-z 0-9 _ . -, and is '../casa_A'"),
        ("a" * 65, f"home must be the id of a home, 1 to 64 of A-Z a-z 0-9 _ . -, and is '{'a' * 59}…"),
        (1, "home must be the id of a home and is 1"),
        ("", "home must be the id of a home, 1 to 64 of A-Z a-z 0-9 _ . -, and is ''"),
    ],
)
def test_a_home_must_have_been_approved(node, home, reason):
    homes = [{"id": "casa_A"}, {"id": "casa_B", "approved": False}]
    validate = node("validate", rules=[{"property": "home", "kind": "home"}], bench={"homes": homes})
    validate.input({"home": home})
    assert (validate.sent[0].port, validate.last.get("reason")) == (0 if reason is None else 1, reason)


def test_a_text_that_its_pattern_would_never_be_done_with_breaks_the_rule(node):
    validate = node("validate", rules=[{"property": "payload", "kind": "text", "pattern": "(a|aa)+"}])
    validate.input({"payload": "a" * 60 + "!"})
    assert validate.sent[0].port == 1
    assert "was not done with a text of 61 characters" in validate.last["reason"]
    assert validate.errors == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"property": "a", "minimum": 2, "maximum": 1}, "nothing would pass"),
        ({"property": "a", "kind": "text", "minimum": 2}, "a text has no minimum or maximum"),
        ({"property": "a", "pattern": "x"}, "a number has no pattern"),
        ({"property": "a", "kind": "text", "pattern": "("}, "is not a regular expression"),
        ({"property": "a", "kind": "home", "pattern": "x"}, "a home has no pattern"),
        ({"property": "a["}, "cannot be read"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule, text):
    with pytest.raises(ValidationError, match=text):
        Validate.Config.model_validate({"rules": [rule]})
