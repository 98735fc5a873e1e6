"""Expressions: what they can say, what they refuse and in which words, and that nothing makes them misbehave."""

from __future__ import annotations

import math
import subprocess
import sys
import timeit
from collections import Counter, OrderedDict
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from expression_campaign import SLOWEST_S, WORDS, Account, Trap, campaign, check
from hypothesis import given, settings
from hypothesis import strategies as st

from solarflow.errors import ExpressionError
from solarflow.expression import compile_expression
from solarflow.expression_values import FUNCTIONS, MISSING

# pytest shows every warning, whatever the module says; `test_compiling_prints_no_warning` looks at it without pytest.
pytestmark = pytest.mark.filterwarnings("ignore:invalid .*:SyntaxWarning", "ignore:invalid .*:DeprecationWarning")

MESSAGE: dict[str, Any] = {
    "payload": {
        "potenza_w": 1500,
        "rendimento": 0.5,
        "stato": "ON",
        "a b": 3,
        "letture": [10, 20.5, 30],
        "vuoto": None,
        "acceso": True,
        "testo": " 12.5 ",
        "casa1": {"limite": 900},
        "__init__": "just a key",
        "class": "A",
        "nan": math.nan,
        "bytes": b"ON",
        "when": object,
    },
    "topic": "comunita/casa1/produzione",
    "home": "casa1",
    "ts": 1_700_000_000.5,
    "max": 7,
}
VARIABLES = {"flow": {"soglia": 1000, "limiti": {"casa1": 800}}, "global_": {"prezzo": 0.25}}


def value(text: str) -> Any:
    return compile_expression(text)(MESSAGE, VARIABLES)


def refusal(text: str, msg: dict[str, Any] | None = None) -> str:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)(MESSAGE if msg is None else msg, VARIABLES)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # literals
        ("1500", 1500),
        ("1_000", 1000),
        ("1000000000000000", 10**15),
        ("2.5e3", 2500.0),
        ("'testo'", "testo"),
        ("'due' ' parti'", "due parti"),
        ("True", True),
        ("None", None),
        ("[1, 'a', payload.potenza_w]", [1, "a", 1500]),
        # paths
        ("payload.potenza_w", 1500),
        ("msg.payload.potenza_w", 1500),
        ("payload['a b']", 3),
        ('msg["payload"]["a b"]', 3),
        ("payload.letture[0]", 10),
        ("payload.letture[-1]", 30),
        ("payload[home].limite", 900),
        ("payload.letture[len(payload.letture) - 1]", 30),
        ("payload['class']", "A"),
        ("payload['__init__']", "just a key"),
        ("topic", "comunita/casa1/produzione"),
        ("home", "casa1"),
        ("ts", 1_700_000_000.5),
        ("msg.max", 7),
        ("flow.soglia", 1000),
        ("flow.limiti[home]", 800),
        ("global_.prezzo", 0.25),
        # arithmetic
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 / 2", 3.5),
        ("7 // 2", 3),
        ("-7 // 2", -4),
        ("7 % 4", 3),
        ("-payload.potenza_w", -1500),
        ("- - 3", 3),
        ("'a' + 'b'", "ab"),
        ("1e200 + 1e200", 2e200),
        # comparisons
        ("payload.potenza_w > 1000", True),
        ("0 < payload.rendimento <= 0.5", True),
        ("0 < payload.potenza_w < 1000", False),
        ("'a' < 'b'", True),
        ("payload.stato == 'ON'", True),
        ("payload.stato != 'ON'", False),
        ("payload.vuoto == None", True),
        ("payload.letture == [10, 20.5, 30]", True),
        ("payload.letture == payload.potenza_w", False),
        ("1 == '1'", False),
        ("payload.stato in ['ON', 'AUTO']", True),
        ("payload.stato not in ['ON', 'AUTO']", False),
        ("20.5 in payload.letture", True),
        ("None in [1, None]", True),
        ("'casa1' in topic", True),
        ("'potenza_w' in payload", True),
        ("'manca' in payload", False),
        # logic
        ("True and not False", True),
        ("0 or 'altro'", "altro"),
        ("False and payload.manca", False),
        ("True or payload.manca", True),
        ("not payload.letture", False),
        ("'alto' if payload.potenza_w > 1000 else 'basso'", "alto"),
        ("payload.manca if False else 1", 1),
        # functions
        ("abs(-3)", 3),
        ("min(3, 1, 2)", 1),
        ("max(payload.letture)", 30),
        ("sum(payload.letture)", 60.5),
        ("sum([])", 0),
        ("sum([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])", 1.0),
        ("mean([1, 2])", 1.5),
        ("round(2.5)", 2),
        ("round(2.345, 1)", 2.3),
        ("round(1499, -3)", 1000),
        ("floor(-1.5)", -2),
        ("ceil(1.2)", 2),
        ("sqrt(9)", 3.0),
        ("clamp(1500, 0, 1000)", 1000),
        ("clamp(-5, 0, 1000)", 0),
        ("len('ciao')", 4),
        ("len(payload.letture)", 3),
        ("int('12.9')", 12),
        ("int(-1.9)", -1),
        ("int(payload.acceso)", 1),
        ("str(1.5) + ' kW'", "1.5 kW"),
        ("lower('ON')", "on"),
        ("upper('on')", "ON"),
        ("number(payload.testo)", 12.5),
        ("number('-1e3')", -1000.0),
        ("number('.5')", 0.5),
        ("number('abc', 0)", 0),
        ("number('1_0', -1)", -1),
        ("number('inf', -1)", -1),
        ("number(payload.vuoto, 0)", 0),
        ("number(payload.manca, 0)", 0),
        ("number(payload.manca.altro, 1 + 1)", 2),
        ("exists(payload.potenza_w)", True),
        ("exists(payload.vuoto)", True),
        ("exists(payload.manca)", False),
        ("exists(payload.potenza_w.sotto)", False),
        ("exists(flow.manca)", False),
        ("get(payload.potenza_w, 0)", 1500),
        ("get(payload.manca.altro, 5)", 5),
        ("get(flow.limiti['casa9'], flow.soglia)", 1000),
        # writing
        ("  payload.potenza_w\n  > 1000\n", True),
        ("payload.potenza_w > 1000\nand\r\n\tpayload.rendimento < 1", True),
        ("'#' + 'è'", "#è"),
    ],
)
def test_an_expression_gives_its_value(text: str, expected: Any) -> None:
    result = value(text)
    assert result == expected
    assert type(result) is type(expected)


ALLOWED = (
    "allowed are numbers, texts, message paths, comparisons, and/or/not, + - * / // %, a if c else b,"
    " lists and functions"
)
FUNCTION_LIST = (
    "Functions are abs, ceil, clamp, exists, floor, get, int, len, lower, max, mean, min, number, round, sqrt, str,"
    " sum, upper"
)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "the expression is empty; write one, such as payload > 1000"),
        (" \n", "the expression is empty; write one, such as payload > 1000"),
        ("1 +", "column 4: this cannot be read; check brackets, quotes and operators around here"),
        ("(1", "column 1: this cannot be read; check brackets, quotes and operators around here"),
        ("a; b", "column 2: this cannot be read; check brackets, quotes and operators around here"),
        ("a && b", "column 4: this cannot be read; write 'and' for '&&'"),
        ("a == '?' || b", "column 11: this cannot be read; write 'or' for '||'"),
        ("a === 1", "column 5: this cannot be read; write '==' for '==='"),
        ("a !== 1", "column 5: this cannot be read; write '!=' for '!=='"),
        ("a = 1", "column 3: this cannot be read; write '==' to compare"),
        ("!a", "column 1: this cannot be read; write 'not' for '!'"),
        ("a ? 1 : 2", "column 3: this cannot be read; write 'a if c else b' for 'c ? a : b'"),
        ("a == true", "column 6: 'true' is written True"),
        ("a != null", "column 6: 'null' is written None"),
        ("a > 1 # molto", "column 7: a comment is not allowed; use the node's description"),
        ("2 ** 8", f"column 1: power '**' is not allowed; multiply, or use sqrt(x); {ALLOWED}"),
        ("1 << 8", f"column 1: '<<' is not allowed; multiply; {ALLOWED}"),
        ("a & b", f"column 1: '&' is not allowed; write 'and'; {ALLOWED}"),
        ("1 + ~a", f"column 5: '~' is not allowed; write 'not'; {ALLOWED}"),
        ("+a", f"column 1: '+' before a value is not allowed; leave it out; {ALLOWED}"),
        ("a is None", f"column 1: 'is' is not allowed; write '=='; {ALLOWED}"),
        ("a is not None", f"column 1: 'is not' is not allowed; write '!='; {ALLOWED}"),
        (
            "f'{a}'",
            f"column 1: an f-text is not allowed; join texts with + and str(x), or use a template node; {ALLOWED}",
        ),
        ("lambda: 1", f"column 1: 'lambda' is not allowed; {ALLOWED}"),
        ("(x := 1)", f"column 2: ':=' is not allowed; {ALLOWED}"),
        ("[x for x in payload]", f"column 1: a comprehension is not allowed; {ALLOWED}"),
        ("sum(x for x in payload)", f"column 4: a comprehension is not allowed; {ALLOWED}"),
        ("max(*payload)", f"column 5: '*' before a value is not allowed; {ALLOWED}"),
        ("(1, 2)", f"column 1: values separated by commas are not allowed; write a list [...]; {ALLOWED}"),
        ("{'a': 1}", f"column 1: an object {{...}} is not allowed; use a template or change node; {ALLOWED}"),
        ("{1, 2}", f"column 1: a set {{...}} is not allowed; write a list [...]; {ALLOWED}"),
        ("payload[1:2]", f"column 9: a slice [a:b] is not allowed; {ALLOWED}"),
        ("b'ON'", f"column 1: bytes b'...' is not allowed; {ALLOWED}"),
        ("1j", f"column 1: a complex number is not allowed; {ALLOWED}"),
        ("...", f"column 1: Ellipsis is not allowed; {ALLOWED}"),
        ("9" * 500, "column 1: a whole number above 10**15 is not allowed; write it with an exponent, such as 1e18"),
        ("-9e999", "column 2: this number is too large; the largest is 1.7e308"),
        ("'\\ud800'", "column 1: this text holds half a character (\\ud800 to \\udfff)"),
        ("1" * 501, "the expression has 501 characters; at most 500 are allowed: split it into several nodes"),
        ("not " * 124 + "x", "column 201: nested more than 50 deep around here; split it into several nodes"),
        ("[" + "1," * 220 + "]", "column 1: more than 200 parts; split it into several nodes"),
        ("[" + "1," * 51 + "]", "column 1: this list has 51 items; at most 50 are allowed"),
        ("payload.__class__", "column 1: the name '__class__' is not allowed: names do not begin with two underscores"),
        ("__import__", "column 1: the name '__import__' is not allowed: names do not begin with two underscores"),
        ("clmp(1, 2, 3)", f"column 1: 'clmp' is not a function; did you mean 'clamp'? {FUNCTION_LIST}"),
        ("eval('1')", f"column 1: 'eval' is not a function. {FUNCTION_LIST}"),
        ("topic.upper()", f"column 1: only functions can be called; did you mean 'upper'? {FUNCTION_LIST}"),
        ("payload[0]()", f"column 1: only functions can be called. {FUNCTION_LIST}"),
        ("clamp(1, 2)", "column 1: 'clamp' is written clamp(x, lo, hi); found 2 arguments"),
        ("abs()", "column 1: 'abs' is written abs(x); found no arguments"),
        ("max(1, key=2)", "column 1: 'max' takes no named arguments; write max(a, b, ...)"),
        ("max > 3", "column 1: 'max' is a function: write max(a, b, ...), or msg.max for a message property"),
        ("get('a', 1)", "column 5: 'get' needs a message path here: get(path, default)"),
        ("exists(1)", "column 8: 'exists' needs a message path here: exists(path)"),
        ("msg", "column 1: 'msg' needs a name after it, such as msg.payload"),
        ("1 + flow", "column 5: 'flow' needs a name after it, such as flow.x"),
        ("'abc'[0]", "column 1: only a message path such as payload or payload.list has properties and items to take"),
        ("1 +\n  2 ** 3", f"line 2, column 3: power '**' is not allowed; multiply, or use sqrt(x); {ALLOWED}"),
        ("'è' == a ** 2", f"column 8: power '**' is not allowed; multiply, or use sqrt(x); {ALLOWED}"),
    ],
)
def test_what_is_not_allowed_is_refused_when_compiled_with_its_place_and_what_is_allowed(text: str, error: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "payload.potenza > 1000",
            "column 1, in `payload.potenza`: payload has no 'potenza'; did you mean 'potenza_w'?"
            " Where it may be missing, write get(payload.potenza, default)",
        ),
        (
            "1 + payload[home].soglia",
            "column 5, in `payload[home].soglia`: payload.casa1 has no 'soglia'; it has limite."
            " Where it may be missing, write get(payload[home].soglia, default)",
        ),
        (
            "payload.letture[7]",
            "column 1, in `payload.letture[7]`: payload.letture is a list of 3, so there is no item 7."
            " Where it may be missing, write get(payload.letture[7], default)",
        ),
        (
            "payload.stato.livello",
            "column 1, in `payload.stato.livello`: payload.stato is the text 'ON', which has no 'livello'."
            " Where it may be missing, write get(payload.stato.livello, default)",
        ),
        (
            "casa",
            "column 1, in `casa`: the message has no 'casa'; it has payload, topic, home, ts, max."
            " Where it may be missing, write get(casa, default)",
        ),
        (
            "0 + 1e308*1e308",
            "column 5, in `1e308*1e308`: the result is not a finite number",
        ),
        (
            "payload.nan > 1",
            "column 1, in `payload.nan`: it is nan, which is not a finite number; mend it where it comes from",
        ),
        (
            "payload[1.5]",
            "column 9, in `1.5`: an index is a text or a whole number, found the number 1.5",
        ),
        (
            "payload[True]",
            "column 9, in `True`: an index is a text or a whole number, found True",
        ),
    ],
)
def test_what_fails_on_a_message_says_where_in_the_expression_and_with_which_values(text: str, error: str) -> None:
    expression = compile_expression(text)
    with pytest.raises(ExpressionError) as caught:
        expression(MESSAGE, VARIABLES)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "1 / (2 - 2)",
            "division by zero; guard it, for example: a / b if b != 0 else 0",
        ),
        (
            "5 % 0",
            "division by zero; guard it, for example: a / b if b != 0 else 0",
        ),
        (
            "1000000000000000 * 1000000000000000",
            "the result is a whole number beyond 64 bits; make one side a float, such as 1000.0",
        ),
        (
            "sum([1e308, 1e308])",
            "the result is not a finite number",
        ),
        (
            "round(1.7e308, -15) * 10",
            "the result is not a finite number",
        ),
        (
            "floor(1e300)",
            "the result is a whole number beyond 64 bits; make one side a float, such as 1000.0",
        ),
        (
            "'a' * 3",
            "'*' needs two numbers, found the text 'a' and the number 3; number(x) makes a number of a text,"
            " str(x) a text of a number",
        ),
        (
            "payload.stato > 3",
            "'>' needs two numbers or two texts, found the text 'ON' and the number 3; number(x) makes a"
            " number of a text, str(x) a text of a number",
        ),
        (
            "payload.vuoto > 3",
            "'>' needs two numbers or two texts, found None and the number 3; number(x, 0) gives 0 where there is none",
        ),
        (
            "payload.acceso + 1",
            "'+' needs two numbers or two texts, found True and the number 1; int(x) makes 1 or 0 of True or False",
        ),
        (
            "payload - 1",
            "'-' needs two numbers, found an object and the number 1",
        ),
        (
            "[1] + [2]",
            "'+' needs two numbers or two texts, found a list of 1 and a list of 1",
        ),
        (
            "'%s' % 1",
            "'%' needs two numbers, found the text '%s' and the number 1; number(x) makes a number of a"
            " text, str(x) a text of a number",
        ),
        (
            "-payload.stato",
            "'-' needs a number, found the text 'ON'",
        ),
        (
            "1 in 'a1'",
            "'in' looks for a text in a text, found the number 1; use str(x)",
        ),
        (
            "1 in 2",
            "'in' needs a list, a text or an object on its right, found the number 2",
        ),
        (
            "[1] in [[1]]",
            "'in' looks for a number, a text, True, False or None, found a list of 1",
        ),
        (
            "payload.bytes == 'ON'",
            "'==' cannot compare a value of type bytes and the text 'ON'; turn the bytes into text or JSON"
            " in the node before",
        ),
        (
            "payload.when",
            "it is of type type; an expression works with numbers, texts, True, False, None, lists and"
            " objects: convert it in the node before",
        ),
        (
            "min([])",
            "the list is empty; guard it, for example: mean(x) if len(x) > 0 else 0",
        ),
        (
            "max(1)",
            "needs a list, found the number 1",
        ),
        (
            "mean([1, payload.nan if False else None])",
            "needs a number, found None; number(x, 0) gives 0 where there is none",
        ),
        (
            "sqrt(-1)",
            "there is no square root of the number -1; guard it, for example: sqrt(max(x, 0))",
        ),
        (
            "clamp(1, 3, 2)",
            "the lower bound 3 is above the upper bound 2",
        ),
        (
            "round(1.5, 99)",
            "the digits must be a whole number from -15 to 15, found the number 99",
        ),
        (
            "number('abc')",
            "cannot make a number of the text 'abc'; number(x, 0) gives 0 instead",
        ),
        (
            "str(payload)",
            "makes a text of a number, True, False or None, found an object; use a template node",
        ),
        (
            "len(1)",
            "needs a text, a list or an object, found the number 1",
        ),
        (
            "upper(1)",
            "needs a text, found the number 1; use str(x)",
        ),
    ],
)
def test_an_operation_that_cannot_be_done_names_the_values_and_the_mend(text: str, reason: str) -> None:
    assert refusal(text) == f"column 1, in `{text}`: {reason}"


def test_an_expression_lists_the_message_paths_and_the_variables_it_reads() -> None:
    expression = compile_expression(
        "msg.payload.potenza_w > flow.soglia and payload['a b'] < 3 or exists(payload.l[0]) or payload[home] == 1"
    )
    assert expression.names == ("payload.potenza_w", 'payload["a b"]', "payload.l[0]", "home", "payload")
    assert expression.variables == ("flow.soglia",)


def test_an_expression_that_failed_works_again_on_the_next_message() -> None:
    expression = compile_expression("payload.potenza_w > 1000")
    with pytest.raises(ExpressionError):
        expression({"payload": {}})
    assert expression({"payload": {"potenza_w": 1500}}) is True


def test_without_variables_a_path_into_them_is_missing_and_says_so() -> None:
    with pytest.raises(ExpressionError, match=r"there are no flow variables here"):
        compile_expression("flow.soglia")({"payload": 1})


def test_a_context_store_may_hand_in_its_variables_as_any_mapping() -> None:
    store = MappingProxyType({"limiti": MappingProxyType({"casa1": 800})})
    assert compile_expression("flow.limiti[home]")({"home": "casa1"}, {"flow": store}) == 800


def test_numbers_of_other_libraries_become_plain_ones() -> None:
    class Level(IntEnum):
        HIGH = 3

    expression = compile_expression("payload + 1")
    assert type(expression({"payload": np.float64(1.5)})) is float
    assert type(expression({"payload": Level.HIGH})) is int
    assert compile_expression("payload.a")({"payload": OrderedDict(a=2)}) == 2
    assert "of type ndarray" in refusal("payload > 1", {"payload": np.zeros(3)})


@pytest.mark.parametrize(
    "text",
    [
        "payload.secret",
        "payload['__dict__']",
        "payload.touched",
        "payload[0]",
        "payload == 1",
        "not payload",
        "len(payload)",
    ],
)
def test_no_expression_reads_an_attribute_of_an_object(text: str) -> None:
    refusal(text, {"payload": Trap()})
    assert Trap.touched.total() == 0


@pytest.mark.parametrize(
    "text",
    [
        "().__class__.__bases__[0].__subclasses__()",
        "''.__class__.__mro__",
        "payload.__class__.__init__.__globals__",
        "payload.get.__self__",
        "payload['__class__']['__base__']",
        "payload['__class__']",
        "payload[str('__class__')]",
        "payload.keys",
        "payload.keys()",
        "payload.letture.append",
        "topic.format",
        "getattr(payload, 'x')",
        "__builtins__",
        "__import__('os').system('true')",
        "\uff3f\uff3fimport\uff3f\uff3f",  # full-width letters, which Python reads as __import__
        "payload.\uff3f\uff3fclass\uff3f\uff3f",
        "msg.__class__",
        "flow.__class__",
        "abs.__self__",
        "(lambda: payload)()",
        "[abs][0](1)",
        "print(1)",
    ],
)
def test_the_known_ways_out_of_a_python_sandbox_are_closed(text: str) -> None:
    refusal(text)


def test_values_from_a_message_cannot_make_it_slow() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    wide: list[Any] = [1]
    for _ in range(60):
        wide = [wide, wide]
    circle: list[Any] = []
    circle.append(circle)
    big = {
        "deep": deep,
        "wide": wide,
        "circle": circle,
        "int": 10**100_000,
        "list": [1] * 200_000,
        "text": "a" * 20_000,
        "day": list(range(86_400)),
        "page": "a" * 1_500_000,
    }
    msg = {"payload": big}
    for name in ("deep", "wide", "circle"):
        assert "compares lists and objects of at most 1000 parts, 20 deep" in refusal(
            f"payload.{name} == payload.{name}", msg
        )
    assert "beyond 64 bits" in refusal("payload.int * payload.int", msg)
    assert "the list has 200000 items; at most 100000 are allowed" in refusal("sum(payload.list)", msg)
    assert "the list has 200000 items; at most 100000 are allowed" in refusal("2 in payload.list", msg)
    assert (
        "in `sum(payload.day)`: the list has 86400 items; at most 66666 are allowed in an expression that goes"
        in refusal("sum(payload.day) + max(payload.day) + (1 if 3 in payload.day else 0)", msg)
    )
    assert (
        "the text has 1500000 characters; at most 1000000 are allowed in an expression that goes through 2"
        in refusal("'b' in payload.page or 'c' in payload.page", msg)
    )
    assert compile_expression("max(payload.day) - min(payload.day)")(msg) == 86_399
    assert "the text would have 20001 characters; at most 10000 are allowed" in refusal("payload.text + 'b'", msg)
    assert "the text has 20000 characters; at most 10000 are allowed" in refusal("upper(payload.text)", msg)


def test_joining_texts_stops_at_ten_thousand_characters() -> None:
    msg = {"payload": "a" * 9_999}
    assert len(compile_expression("payload + 'b'")(msg)) == 10_000
    refusal("payload + 'bc'", msg)


def test_capitals_that_grow_are_bounded_too() -> None:
    assert "the text has 12000 characters" in refusal("upper(payload)", {"payload": "ß" * 6_000})


def test_an_error_text_stays_short_whatever_the_message_holds() -> None:
    long = {"payload": {"k" * 100_000: 1}, "home": "h" * 100_000, "x": "t" * 100_000}
    for text in ("payload.y", "payload[home]", "x > 1", "payload[x].y"):
        assert len(refusal(text, long)) < 500


def test_the_deepest_and_longest_allowed_expressions_run() -> None:
    assert compile_expression("not " * 49 + "True")({}) is False
    assert compile_expression("1" + " + 1" * 49)({}) == 50
    assert compile_expression("(" * 60 + "1" + ")" * 60)({}) == 1
    assert compile_expression("[" + ", ".join(["1"] * 50) + "]")({}) == [1] * 50


@pytest.mark.parametrize(
    "text",
    [
        "(" * 250 + "1" + ")" * 249,
        "(" * 250 + "1" + ")" * 250,
        "-" * 499 + "1",
        "~" * 499 + "1",
        "[" * 500,
        "x+" * 249 + "x",
        "x if " * 99 + "x",
        "x." * 249 + "x",
        "x" + "[0]" * 166,
        "f'{" * 100,
        "lambda:" * 70 + "1",
        "\x00",
        "1\x002",
        "\ud800",
        "'\ud800'",
        "\\",
        "\\\n1",
        "'''\n",
        "1if 2else",
    ],
)
def test_shapes_that_break_parsers_are_refused(text: str) -> None:
    account = Account()
    check(text, account)
    assert account.refused == 1


def test_compiling_prints_no_warning_where_python_would() -> None:
    text = r"'\d' if 1or 2 else 3"
    code = f"from solarflow.expression import compile_expression; print(compile_expression({text!r})({{}}))"
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("\\d\n", "")


def test_every_function_says_how_it_is_written() -> None:
    for name, function in FUNCTIONS.items():
        assert function.usage.startswith(f"{name}(")
        assert function.help


@settings(max_examples=500, deadline=1000)
@given(st.lists(st.sampled_from(WORDS), max_size=40), st.sampled_from([" ", ""]))
def test_no_string_of_known_words_raises_anything_but_an_expression_error(words: list[str], glue: str) -> None:
    check(glue.join(words), Account())


@settings(max_examples=300, deadline=1000)
@given(st.text(max_size=600))
def test_no_text_at_all_raises_anything_but_an_expression_error(text: str) -> None:
    check(text, Account())


def test_twenty_thousand_random_expressions_end_soon_in_a_value_or_an_expression_error() -> None:
    account = campaign(20_000, seed=1)
    assert account.values + account.refused + account.failed == 20_000
    assert account.values > 2_000
    assert account.failed > 2_000
    assert account.refused > 2_000
    assert account.slowest_s < SLOWEST_S, account.slowest


def test_the_campaign_notices_a_way_to_the_attributes_of_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solarflow.expression_path.step", lambda value, key: getattr(value, str(key), MISSING))
    monkeypatch.setattr(Trap, "touched", Counter())
    with pytest.raises(AssertionError, match="touched"):
        campaign(20_000, seed=1)


def test_a_simple_comparison_costs_less_than_a_microsecond() -> None:
    expression, msg = compile_expression("payload > 1000"), {"payload": 1500.0}
    assert min(timeit.repeat(lambda: expression(msg), number=10_000, repeat=20)) / 10_000 < 1e-6
