"""Random expressions in any number: each must end, soon, in a bounded value or an ExpressionError.

`python tests/expression_campaign.py 1000000 7` runs a million of them from seed 7 and prints the account; it fails
where one raises anything else, takes more than 50 ms of processor time, reads an attribute or calls a method of a
value, or makes Python do anything (open, import, execute ...) that it tells its audit hooks.
"""

from __future__ import annotations

import math
import random
import sys
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from solarflow.errors import ExpressionError
from solarflow.expression import compile_expression
from solarflow.expression_values import FUNCTIONS, MAX_INTEGER

SLOWEST_S = 0.05
"""Most processor time that an expression may take, to compile and run, in seconds."""


class Trap:
    """An object in a message that counts whoever reads an attribute of it, calls it or compares it."""

    touched: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> Any:
        # isinstance() asks for it where the type alone does not answer; it gives the type, and nothing else.
        if name != "__class__":
            Trap.touched[name] += 1
        return object.__getattribute__(self, name)


def _trapped(name: str) -> Any:
    def method(_self: Trap, *_args: Any) -> Any:
        Trap.touched[name] += 1
        return NotImplemented

    return method


for _name in (
    "call",
    "eq",
    "lt",
    "gt",
    "add",
    "radd",
    "mul",
    "bool",
    "len",
    "getitem",
    "iter",
    "contains",
    "str",
    "hash",
):
    setattr(Trap, f"__{_name}__", _trapped(_name))


class TrapDict(dict[str, Any]):
    """The same for what looks like an object of the message."""

    def __getitem__(self, key: str) -> Any:
        Trap.touched["dict[]"] += 1
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Count it."""
        Trap.touched["dict.get"] += 1
        return super().get(key, default)


def _split(text: str) -> list[str]:
    return text.split()


WORDS = [
    *_split(
        "payload . [ ] ( ) { } , : + - * / % // ** ~ @ << >> & | ^ < > == != <= >= = := is in not and or if else for"
        " lambda import yield await async def print None True False ... msg flow global_ home topic ts _msgid x"
        " __class__ __dict__ payload.__class__ 0 1 -1 1500.5 1e308 9e999 0x1F 1_0 1j 999999999999999"
        " 9223372036854775807 'a' 'ON' \"b c\" b'x' f'{payload}' '\\ud800' '\\d' # ; ? && || ! \\ ` payload.list"
        " payload.text payload.deep payload.wide payload.trap payload.trap.secret payload.traps trap .secret .touched"
        " __import__ __builtins__ __globals__ __mro__ __subclasses__ getattr eval exec open globals os sys .keys"
        " .format .append .mro ()"
    ),
    "'" + "a" * 90 + "'",
    "9" * 60,
    *FUNCTIONS,
]

LEAVES = _split(
    "payload.power_w payload.ratio payload.huge payload.tiny payload.text payload.long payload.list payload.bad"
    " payload.deep payload.wide payload.none payload.on payload.bytes payload.infinite payload.missing home ts"
    " payload.trap payload.trap.secret payload.traps payload.traps[0] payload.traps[0].x payload.named.a payload.named"
    " payload.named.trap flow.trap payload.call payload['__class__'] payload.day"
    " payload.names payload.page"
    " payload[home] payload.list[0] payload.list[-1] payload.list[9] flow.limit global_.x flow[home] 0 1 2.5 1e308"
    " 1e-308 1000000000000000 'ON' '12' '' None True False [] [1,2,3] ['a',None]"
)

_deep: list[object] = []
for _ in range(2000):
    _deep = [_deep]
_wide: list[object] = [1]
for _ in range(40):
    _wide = [_wide, _wide]

PAGE = "casa1 " * 150_000
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
        "day": [0.5 * second for second in range(86_400)],
        "part": [0.5 * second for second in range(6_000)],
        "names": [f"casa{number}" for number in range(100_000)],
        "page": PAGE,
        "trap": Trap(),
        "traps": [Trap(), 1, Trap()],
        "named": TrapDict(a=1, trap=Trap()),
        "call": print,
    },
    "home": "casa1",
    "topic": "comunita/casa1/produzione",
    "ts": 1_700_000_000.5,
}
VARIABLES = {"flow": {"limit": 1000, "casa1": 3.0, "trap": Trap()}, "global_": {"x": [1, {"y": 2}]}}


@dataclass
class Account:
    """What became of the expressions: gave a value, refused at compile, failed on the message; and what they took."""

    values: int = 0
    refused: int = 0
    failed: int = 0
    slowest: str = ""
    took_s: array[float] = field(default_factory=lambda: array("d"))
    """Processor time of each, in seconds."""
    kinds: set[str] = field(default_factory=set)

    @property
    def slowest_s(self) -> float:
        """The most processor time that one took."""
        return max(self.took_s, default=0.0)

    def table(self) -> str:
        """The account for docs/measurements.md."""
        took = sorted(self.took_s)
        at = {name: took[int((len(took) - 1) * share)] * 1e6 for name, share in (("median", 0.5), ("99.9 %", 0.999))}
        rows = [
            ("expressions", f"{len(took):,}"),
            ("gave a value", f"{self.values:,} ({', '.join(sorted(self.kinds))})"),
            ("refused when compiled", f"{self.refused:,}"),
            ("failed on the message", f"{self.failed:,}"),
            ("raised anything else", "0"),
            ("attributes read or methods called of objects in the message", str(Trap.touched.total())),
            ("files, imports, processes or code asked of Python", str(_asked.total())),
            ("processor time, median", f"{at['median']:.0f} us"),
            ("processor time, 99.9 % below", f"{at['99.9 %']:.0f} us"),
            ("processor time, slowest", f"{self.slowest_s * 1000:.1f} ms"),
        ]
        return "\n".join(["| | |", "|---|---|", *(f"| {name} | {what} |" for name, what in rows)])


_asked: Counter[str] = Counter()
_watching = False
_hooks: list[Any] = []


def _hear(event: str, _args: Any) -> None:
    if _watching and event != "compile":  # that is how the text is read
        _asked[event] += 1


def campaign(n: int, seed: int) -> Account:
    """Compile and run `n` random expressions. Raises AssertionError naming the first that misbehaves."""
    global _watching
    dice = random.Random(seed)  # noqa: S311  reproducible, not secret
    account, slowest_s = Account(), 0.0
    if _hear not in _hooks:
        # The first likely name brings in the module that finds it, and the first \N{...} what Python reads it with.
        check("payload.y", Account())
        check(r"'\N{DIGIT ONE}'", Account())
        _hooks.append(_hear)
        sys.addaudithook(_hear)
    for turn in range(n):
        text = _rubbish(dice) if turn % 2 else _sentence(dice, dice.randrange(1, 6)) if turn % 500 else _heavy(dice)
        _watching, started = True, time.thread_time()
        try:
            check(text, account)
        finally:
            took, _watching = time.thread_time() - started, False
        if took > slowest_s:
            slowest_s, account.slowest = took, text
        account.took_s.append(took)
        assert took < SLOWEST_S, f"{text!r} took {took * 1000:.0f} ms"
        assert not Trap.touched.total(), f"{text!r} touched {dict(Trap.touched)}"
        assert not _asked.total(), f"{text!r} asked for {dict(_asked)}"
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
    account.kinds.add("dict" if type(value) is TrapDict else type(value).__name__)
    assert value is None or type(value) in (bool, int, float, str, bytes, list, dict, TrapDict), (text, value)
    if isinstance(value, float):
        assert math.isfinite(value), text
    elif isinstance(value, int):
        assert abs(value) <= MAX_INTEGER, text
    elif isinstance(value, str):
        assert len(value) <= 10_000 or value is PAGE, text


def _rubbish(dice: random.Random) -> str:
    return dice.choice((" ", "")).join(dice.choice(WORDS) for _ in range(dice.randrange(1, 25)))


def _heavy(dice: random.Random) -> str:
    """As much as will fit of what goes through the longest lists and texts of the message."""
    lists, count = ("day", "names") if dice.random() < 0.5 else ("part", "part"), dice.randrange(1, 50)
    walks = [f"{name}(payload.{lists[0]})" for name in ("sum", "mean", "max", "min")]
    walks += [f"'x' in payload.{lists[1]}", "'casa1 casa2' in payload.page", "payload.names == payload.day"]
    return " or 0 == ".join(dice.choice(walks) for _ in range(count))[:500].rpartition(" or ")[0] or walks[0]


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
    done = campaign(int(sys.argv[1]), int(sys.argv[2]))
    print(f"{done.table()}\n\nThe slowest: `{done.slowest}`")  # noqa: T201  this is its output
