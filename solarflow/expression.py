"""Expressions in flow files: a small, safe language compiled from a whitelisted syntax tree to closures.

Written as in Python: `payload.potenza_w > 1000 and not exists(payload.arretrato)`. There are numbers, texts, True,
False, None, lists; + - * / // %; comparisons (chained, `in`); and, or, not; `a if c else b`; the functions of
`expression_values.FUNCTIONS`; and paths. A path reads the message (`payload.x`, `payload["a b"]`, `payload[0]`,
`topic`, or spelled out `msg.payload.x`) or a variable (`flow.x`, `global_.x`, `flow.limits[home]`), entering
dictionaries and lists only: no attribute of a Python object can be reached, and nothing but the named functions called.

Every expression ends, soon, in a value or an ExpressionError: its length, nodes and depth are bounded in
`expression_source`, its values in `expression_values`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from solarflow.errors import ExpressionError, nearest
from solarflow.expression_path import VARIABLE_ROOTS, Evaluate, Message, Path, Variables
from solarflow.expression_source import (
    ALLOWED,
    FOREIGN_NAMES,
    MAX_LENGTH,
    MAX_LIST,
    MAX_LITERAL,
    REFUSED,
    Source,
    count_walks,
    walks,
)
from solarflow.expression_values import (
    ARITHMETIC,
    FUNCTIONS,
    MAX_FLOAT,
    MAX_INTEGER,
    MISSING,
    ORDER,
    Fault,
    bounded_walk,
    calculate,
    contains,
    equal,
    found,
    is_number,
    order,
    to_number,
)

_NO_VARIABLES: Variables = {}
_SCALARS = frozenset({bool, int, float, str, type(None)})

_OPERATORS: Mapping[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
}


class Expression:
    """A compiled expression: call it with a message.

    text: as it was written. names: the message paths it reads, in order of appearance (`payload.potenza_w`; where an
    index is computed, up to there). variables: likewise the variables (`flow.x`).
    """

    __slots__ = ("_evaluate", "names", "text", "variables")

    def __init__(self, text: str, evaluate: Evaluate, names: Iterable[str], variables: Iterable[str]) -> None:
        self.text = text
        self.names = tuple(names)
        self.variables = tuple(variables)
        self._evaluate = evaluate

    def __call__(self, msg: Message, variables: Variables | None = None) -> Any:
        """The value for this message.

        variables: {"flow": {...}, "global_": {...}}, values only. A list or object is handed out as it stands in the
        message, not copied. Raises ExpressionError with the place and what failed.
        """
        return self._evaluate(msg, _NO_VARIABLES if variables is None else variables)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def compile_expression(text: str) -> Expression:
    """Compile an expression. Raises ExpressionError that names the place, what is not allowed, and what is."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"the expression has {len(text)} characters; at most {MAX_LENGTH} are allowed: split it into several nodes"
        )
    if not text.strip():
        raise ExpressionError("the expression is empty; write one, such as payload > 1000")
    source = Source(text)
    tree = source.parse()
    compiler = _Compiler(source, count_walks(tree))
    evaluate = compiler.compile(tree)
    return Expression(text, evaluate, compiler.names, compiler.variables)


class _Compiler:
    """Turns one syntax tree into nested closures, and collects the paths that it reads."""

    def __init__(self, source: Source, all_walks: int) -> None:
        self.source = source
        self.all_walks = all_walks
        self.names: dict[str, None] = {}
        self.variables: dict[str, None] = {}

    def compile(self, node: ast.expr) -> Evaluate:
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._path(node).reading()
            case ast.Compare():
                return self._compare(node)
            case ast.BoolOp():
                return _logic(isinstance(node.op, ast.And), [self.compile(value) for value in node.values])
            case ast.BinOp() if type(node.op) in _OPERATORS:
                return self._arithmetic(node, _OPERATORS[type(node.op)])
            case ast.UnaryOp(op=ast.Not()):
                operand = self.compile(node.operand)
                return lambda msg, variables: not operand(msg, variables)
            case ast.UnaryOp(op=ast.USub()):
                return self._negative(node)
            case ast.IfExp():
                return self._choice(node)
            case ast.List():
                return self._list(node)
            case ast.Call():
                return self._call(node)
        operation = node.op if isinstance(node, (ast.BinOp, ast.UnaryOp)) else node
        raise self.source.refuse(node, f"{REFUSED.get(type(operation), 'this is not allowed')}; {ALLOWED}")

    def _constant(self, node: ast.Constant) -> Evaluate:
        value = node.value
        if isinstance(value, int) and abs(value) > MAX_LITERAL:
            raise self.source.refuse(
                node, "a whole number above 10**15 is not allowed; write it with an exponent, such as 1e18"
            )
        if isinstance(value, float) and value > MAX_FLOAT:
            raise self.source.refuse(node, "this number is too large; the largest is 1.7e308")
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise self.source.refuse(node, "this text holds half a character (\\ud800 to \\udfff)") from None
        elif value is not None and not isinstance(value, (bool, int, float)):
            names = {bytes: "bytes b'...'", complex: "a complex number"}
            raise self.source.refuse(node, f"{names.get(type(value), repr(value))} is not allowed; {ALLOWED}")
        return lambda _msg, _variables: value

    def _path(self, node: ast.expr) -> Path:
        """Unwind `a.b["c"][0]` down to its first name."""
        keys: list[str | int | Evaluate] = []
        part = node
        while not isinstance(part, ast.Name):
            if isinstance(part, ast.Attribute):
                keys.append(self._name(part, part.attr))
                part = part.value
            elif isinstance(part, ast.Subscript):
                keys.append(self._index(part.slice))
                part = part.value
            else:
                raise self.source.refuse(
                    part, "only a message path such as payload or payload.list has properties and items to take"
                )
        root = self._name(part, part.id)
        if root in FOREIGN_NAMES:
            raise self.source.refuse(part, f"'{root}' is written {FOREIGN_NAMES[root]}")
        if root in FUNCTIONS:
            raise self.source.refuse(
                part, f"'{root}' is a function: write {FUNCTIONS[root].usage}, or msg.{root} for a message property"
            )
        if root not in ("msg", *VARIABLE_ROOTS):
            keys.append(root)
        keys.reverse()
        if not keys or not isinstance(keys[0], str):
            example = "msg.payload" if root == "msg" else f"{root}.x"
            raise self.source.refuse(part, f"'{root}' needs a name after it, such as {example}")
        path = Path(self.source, node, root if root in VARIABLE_ROOTS else "", keys)
        (self.variables if path.root else self.names)[path.label()] = None
        return path

    def _name(self, node: ast.expr, name: str) -> str:
        if name.startswith("__"):
            raise self.source.refuse(node, f"the name '{name}' is not allowed: names do not begin with two underscores")
        return name

    def _index(self, node: ast.expr) -> str | int | Evaluate:
        match node:
            case ast.Constant(value=str() | int() as key) if not isinstance(key, bool):
                self._constant(node)
                return key
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as key)) if not isinstance(key, bool):
                return -key
        evaluate, source = self.compile(node), self.source

        def index(msg: Message, variables: Variables) -> str | int:
            key = evaluate(msg, variables)
            if isinstance(key, str) or (isinstance(key, int) and not isinstance(key, bool)):
                return key
            raise source.failed(node, f"an index is a text or a whole number, found {found(key)}")

        return index

    def _arithmetic(self, node: ast.BinOp, symbol: str) -> Evaluate:
        left, right = self.compile(node.left), self.compile(node.right)
        operate, source = ARITHMETIC[symbol], self.source

        def run(msg: Message, variables: Variables) -> Any:
            a, b = left(msg, variables), right(msg, variables)
            try:
                # The common case spelled out, for speed; `calculate` does the rest, and explains what fails.
                if (type(a) is float or type(a) is int) and (type(b) is float or type(b) is int) and b:
                    result = operate(a, b)
                    if -MAX_INTEGER <= result <= MAX_INTEGER:
                        return result
                return calculate(symbol, a, b)
            except Fault as fault:
                raise source.failed(node, fault) from None

        return run

    def _negative(self, node: ast.UnaryOp) -> Evaluate:
        operand, source = self.compile(node.operand), self.source

        def run(msg: Message, variables: Variables) -> Any:
            value = operand(msg, variables)
            if is_number(value):
                return -value
            raise source.failed(node, f"'-' needs a number, found {found(value)}")

        return run

    def _compare(self, node: ast.Compare) -> Evaluate:
        for operation in node.ops:
            if type(operation) not in _OPERATORS:
                raise self.source.refuse(node, f"{REFUSED[type(operation)]}; {ALLOWED}")
        first = self.compile(node.left)
        links = [
            (self._check(node, _OPERATORS[type(operation)]), self.compile(value))
            for operation, value in zip(node.ops, node.comparators, strict=True)
        ]
        if len(links) == 1:
            (check, second), *_ = links
            return lambda msg, variables: check(first(msg, variables), second(msg, variables))

        def run(msg: Message, variables: Variables) -> bool:
            a = first(msg, variables)
            for check, value in links:
                b = value(msg, variables)
                if not check(a, b):
                    return False
                a = b
            return True

        return run

    def _check(self, node: ast.Compare, symbol: str) -> Callable[[Any, Any], bool]:
        source = self.source
        if symbol in ORDER:
            test = ORDER[symbol]

            def ordered(a: Any, b: Any) -> bool:
                if (type(a) is float or type(a) is int) and (type(b) is float or type(b) is int):
                    return bool(test(a, b))
                try:
                    return order(symbol, a, b)
                except Fault as fault:
                    raise source.failed(node, fault) from None

            return ordered

        compare = equal if symbol in ("==", "!=") else contains
        wanted = symbol in ("==", "in")
        quick, all_walks = compare is equal, self.all_walks

        def checked(a: Any, b: Any) -> bool:
            if quick and type(a) in _SCALARS and type(b) in _SCALARS:
                return (a == b) is wanted
            try:
                if not quick:
                    bounded_walk(b, all_walks)
                return compare(a, b) is wanted
            except Fault as fault:
                raise source.failed(node, fault) from None

        return checked

    def _choice(self, node: ast.IfExp) -> Evaluate:
        test, then, otherwise = self.compile(node.test), self.compile(node.body), self.compile(node.orelse)
        return lambda msg, variables: then(msg, variables) if test(msg, variables) else otherwise(msg, variables)

    def _list(self, node: ast.List) -> Evaluate:
        if len(node.elts) > MAX_LIST:
            raise self.source.refuse(node, f"this list has {len(node.elts)} items; at most {MAX_LIST} are allowed")
        items = [self.compile(item) for item in node.elts]
        return lambda msg, variables: [item(msg, variables) for item in items]

    def _call(self, node: ast.Call) -> Evaluate:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else name
            what = f"'{name}' is not a function" if name else "only functions can be called"
            likely = nearest(called, FUNCTIONS) or "."
            raise self.source.refuse(node, f"{what}{likely} Functions are {', '.join(FUNCTIONS)}")
        function = FUNCTIONS[name]
        if node.keywords:
            raise self.source.refuse(node, f"'{name}' takes no named arguments; write {function.usage}")
        if not function.least <= len(node.args) <= function.most:
            raise self.source.refuse(
                node, f"'{name}' is written {function.usage}; found {_count(len(node.args), 'argument')}"
            )
        compute = function.compute
        if compute is None:
            return self._number(node) if name == "number" else self._optional(node, name)
        arguments, source = [self.compile(argument) for argument in node.args], self.source
        all_walks = self.all_walks if walks(node) else 0

        def run(msg: Message, variables: Variables) -> Any:
            values = [argument(msg, variables) for argument in arguments]
            try:
                if all_walks:
                    bounded_walk(values[0], all_walks)
                return compute(*values)
            except Fault as fault:
                raise source.failed(node, fault) from None

        return run

    def _optional(self, node: ast.Call, name: str) -> Evaluate:
        first = node.args[0]
        if not isinstance(first, (ast.Name, ast.Attribute, ast.Subscript)):
            raise self.source.refuse(first, f"'{name}' needs a message path here: {FUNCTIONS[name].usage}")
        path = self._path(first)
        find = path.finding()
        if name == "exists":
            return lambda msg, variables: find(msg, variables) is not MISSING
        read, default = path.reading(), self.compile(node.args[1])
        return lambda msg, variables: (
            default(msg, variables) if find(msg, variables) is MISSING else read(msg, variables)
        )

    def _number(self, node: ast.Call) -> Evaluate:
        """number(x, default) is kinder than the other functions: where x is a missing property it gives the default."""
        first, source = node.args[0], self.source
        default = self.compile(node.args[1]) if len(node.args) > 1 else None
        if default is not None and isinstance(first, (ast.Name, ast.Attribute, ast.Subscript)):
            value = self._path(first).finding()
        else:
            value = self.compile(first)

        def run(msg: Message, variables: Variables) -> Any:
            try:
                return to_number(value(msg, variables))
            except Fault as fault:
                if default is None:
                    raise source.failed(node, fault) from None
                return default(msg, variables)

        return run


def _logic(every: bool, parts: list[Evaluate]) -> Evaluate:
    *firsts, last = parts

    def run(msg: Message, variables: Variables) -> Any:
        for part in firsts:
            value = part(msg, variables)
            if bool(value) is not every:
                return value
        return last(msg, variables)

    return run


def _count(number: int, thing: str) -> str:
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"
