"""Random expressions in any number: each must end, soon, in a bounded value or an ExpressionError.

`python tests/expression_campaign.py 1000000 7` runs a million of them from seed 7 and prints the account.
"""

from __future__ import annotations

import math
import random
import sys
import time
from dataclasses import dataclass, field

from solarflow.errors import ExpressionError
from solarflow.expression import compile_expression
from solarflow.expression_values import FUNCTIONS, MAX_INTEGER


def _split(text: str) -> list[str]:
    return text.split()


WORDS = [
    *_split(
        "payload . [ ] ( ) { } , : + - * / % // ** ~ @ << >> & | ^ < > == != <= >= = := is in not and or if else for"
        " lambda import yield await async def print None True False ... msg flow global_ home topic ts _msgid x"
        " __class__ __dict__ payload.__class__ 0 1 -1 1500.5 1e308 9e999 0x1F 1_0 1j 999999999999999"
        " 9223372036854775807 'a' 'ON' \"b c\" b'x' f'{payload}' '\\ud800' '\\d' # ; ? && || ! \\ ` payload.list"
        " payload.text payload.deep payload.wide"
    ),
    "'" + "a" * 90 + "'",
    "9" * 60,
    *FUNCTIONS,
]

LEAVES = _split(
    "payload.power_w payload.ratio payload.huge payload.tiny payload.text payload.long payload.list payload.bad"
    " payload.deep payload.wide payload.none payload.on payload.bytes payload.infinite payload.missing home ts"
    " payload[home] payload.list[0] payload.list[-1] payload.list[9] flow.limit global_.x flow[home] 0 1 2.5 1e308"
    " 1e-308 1000000000000000 'ON' '12' '' None True False [] [1,2,3] ['a',None]"
)

_deep: list[object] = []
for _ in range(2000):
    _deep = [_deep]
_wide: list[object] = [1]
for _ in range(40):
    _wide = [_wide, _wide]

MESSAGE = {
    "payload": {
        "power_w": 1500,
        "ratio": 0.85,
        "huge": 10**4000,
        "tiny": 5e-324,
        "text": "ON",
        "long": "ß" * 9_000,
        "list": [1, 2.5, -3],
        "bad": [1, "a", None, math.nan],
        "deep": _deep,
        "wide": _wide,
        "none": None,
        "on": True,
        "bytes": b"ON",
        "infinite": math.inf,
        "casa1": 7,
    },
    "home": "casa1",
    "topic": "comunita/casa1/produzione",
    "ts": 1_700_000_000.5,
}
VARIABLES = {"flow": {"limit": 1000, "casa1": 3.0}, "global_": {"x": [1, {"y": 2}]}}


@dataclass
class Account:
    """What became of the expressions: gave a value, refused at compile, failed on the message; and the slowest."""

    values: int = 0
    refused: int = 0
    failed: int = 0
    slowest_s: float = 0.0
    slowest: str = ""
    kinds: set[str] = field(default_factory=set)


def campaign(n: int, seed: int) -> Account:
    """Compile and run `n` random expressions. Raises AssertionError naming the first that misbehaves."""
    dice = random.Random(seed)  # noqa: S311  reproducible, not secret
    account = Account()
    for turn in range(n):
        text = _rubbish(dice) if turn % 2 else _sentence(dice, dice.randrange(1, 6))
        started = time.perf_counter()
        check(text, account)
        took = time.perf_counter() - started
        if took > account.slowest_s:
            account.slowest_s, account.slowest = took, text
    return account


def check(text: str, account: Account) -> None:
    """One expression on the hostile message: a bounded value or an ExpressionError with a short text."""
    try:
        try:
            expression = compile_expression(text)
        except ExpressionError as error:
            account.refused += 1
            assert 0 < len(str(error)) < 1000, text
            return
        try:
            value = expression(MESSAGE, VARIABLES)
        except ExpressionError as error:
            account.failed += 1
            assert 0 < len(str(error)) < 1000, text
            return
    except Exception as error:
        raise AssertionError(f"{text!r} raised {error!r}") from error
    account.values += 1
    account.kinds.add(type(value).__name__)
    assert value is None or type(value) in (bool, int, float, str, bytes, list, dict), (text, value)
    if isinstance(value, float):
        assert math.isfinite(value), text
    elif isinstance(value, int):
        assert abs(value) <= MAX_INTEGER, text
    elif isinstance(value, str):
        assert len(value) <= 10_000, text


def _rubbish(dice: random.Random) -> str:
    return dice.choice((" ", "")).join(dice.choice(WORDS) for _ in range(dice.randrange(1, 25)))


def _sentence(dice: random.Random, depth: int) -> str:
    """Mostly right syntax, so that what runs is exercised as much as what reads."""
    if depth == 0 or dice.random() < 0.15:
        return dice.choice(LEAVES)

    def part() -> str:
        return _sentence(dice, depth - 1)

    match dice.randrange(7):
        case 0:
            return f"({part()} {dice.choice(('+', '-', '*', '/', '//', '%'))} {part()})"
        case 1:
            return f"{part()} {dice.choice(('<', '<=', '>', '>=', '==', '!=', 'in', 'not in'))} {part()}"
        case 2:
            return f"({part()} {dice.choice(('and', 'or'))} {part()})"
        case 3:
            return dice.choice(("-", "not ")) + part()
        case 4:
            return f"({part()} if {part()} else {part()})"
        case 5:
            return f"[{', '.join(part() for _ in range(dice.randrange(4)))}]"
    name = dice.choice(list(FUNCTIONS))
    function = FUNCTIONS[name]
    first = dice.choice(LEAVES) if name in ("exists", "get") else part()
    rest = [part() for _ in range(dice.randint(function.least, min(function.most, 3)) - 1)]
    return f"{name}({', '.join([first, *rest])})"


if __name__ == "__main__":
    print(campaign(int(sys.argv[1]), int(sys.argv[2])))  # noqa: T201  this is its output
