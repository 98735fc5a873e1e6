"""From the text of an expression to a bounded syntax tree, and back to places in the text for error messages."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping

from solarflow.errors import ExpressionError

MAX_LENGTH = 500
"""Most characters of an expression."""
MAX_NODES = 200
"""Most parts: each number, text, path step, operation, call and list counts one."""
MAX_DEPTH = 50
"""Deepest nesting of parts."""
MAX_LIST = 50
"""Most items of a list written in an expression."""
MAX_LITERAL = 10**15
"""Largest whole number written in an expression."""

ALLOWED = (
    "allowed are numbers, texts, message paths, comparisons, and/or/not, + - * / // %, a if c else b, lists and"
    " functions"
)

_WALKING = frozenset({"max", "mean", "min", "sum"})
_FILE = "<expression>"
# Python warns on stderr about spellings such as '\d' and 1if; whoever wrote the expression does not sit there.
warnings.filterwarnings("ignore", module=re.escape(_FILE))

REFUSED: Mapping[type[ast.AST], str] = {
    ast.Await: "'await' is not allowed",
    ast.BitAnd: "'&' is not allowed; write 'and'",
    ast.BitOr: "'|' is not allowed; write 'or'",
    ast.BitXor: "'^' is not allowed",
    ast.Dict: "an object {...} is not allowed; use a template or change node",
    ast.DictComp: "a comprehension is not allowed",
    ast.GeneratorExp: "a comprehension is not allowed",
    ast.Invert: "'~' is not allowed; write 'not'",
    ast.Is: "'is' is not allowed; write '=='",
    ast.IsNot: "'is not' is not allowed; write '!='",
    ast.JoinedStr: "an f-text is not allowed; join texts with + and str(x), or use a template node",
    ast.Lambda: "'lambda' is not allowed",
    ast.ListComp: "a comprehension is not allowed",
    ast.LShift: "'<<' is not allowed; multiply",
    ast.MatMult: "'@' is not allowed",
    ast.NamedExpr: "':=' is not allowed",
    ast.Pow: "power '**' is not allowed; multiply, or use sqrt(x)",
    ast.RShift: "'>>' is not allowed; divide with //",
    ast.Set: "a set {...} is not allowed; write a list [...]",
    ast.SetComp: "a comprehension is not allowed",
    ast.Slice: "a slice [a:b] is not allowed",
    ast.Starred: "'*' before a value is not allowed",
    ast.Tuple: "values separated by commas are not allowed; write a list [...]",
    ast.UAdd: "'+' before a value is not allowed; leave it out",
    ast.Yield: "'yield' is not allowed",
    ast.YieldFrom: "'yield' is not allowed",
}

FOREIGN_NAMES = {"true": "True", "false": "False", "null": "None", "undefined": "None"}
_FOREIGN_SIGNS = (
    (r"&&", "write 'and' for '&&'"),
    (r"\|\|", "write 'or' for '||'"),
    (r"===", "write '==' for '==='"),
    (r"!==", "write '!=' for '!=='"),
    (r"\?", "write 'a if c else b' for 'c ? a : b'"),
    (r"(?<![<>=!:])=(?!=)", "write '==' to compare"),
    (r"!(?!=)", "write 'not' for '!'"),
)


class Source:
    """The text, and where in it a syntax node stands."""

    def __init__(self, text: str) -> None:
        self.text = text
        # Blanks instead of line ends: one may break lines anywhere, and columns stay what they are.
        self.line = re.sub(r"[\r\n\t\f]", " ", text).rstrip()
        self.indent = len(self.line) - len(self.line.lstrip(" "))

    def parse(self) -> ast.expr:
        """The bounded syntax tree. Raises ExpressionError."""
        try:
            tree = ast.parse(self.line[self.indent :], _FILE, "eval").body
        except SyntaxError as error:
            at_end = not error.offset  # Python's way of saying that something is missing at the end
            index = len(self.line) if at_end else self.indent + (error.offset or 1) - 1
            raise self.error(index, self._slip()) from None
        except (ValueError, MemoryError, RecursionError):
            raise self.error(
                self.indent, "this cannot be read: it is nested too deep or holds odd characters"
            ) from None
        rest = self.line[self._end(tree) :]
        if "#" in rest:
            raise self.error(self._end(tree) + rest.index("#"), "a comment is not allowed; use the node's description")
        self.limit(tree)
        return tree

    def _slip(self) -> str:
        """What is probably meant: signs of JavaScript, looked for outside quoted texts."""
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", self.line)
        for sign, mend in _FOREIGN_SIGNS:
            if re.search(sign, bare):
                return f"this cannot be read; {mend}"
        return "this cannot be read; check brackets, quotes and operators around here"

    def _index(self, byte: int) -> int:
        """Python counts columns in UTF-8 bytes."""
        return self.indent + len(self.line[self.indent :].encode()[:byte].decode())

    def start(self, node: ast.expr) -> int:
        """Index in the text at which the node begins."""
        return self._index(node.col_offset)

    def _end(self, node: ast.expr) -> int:
        return self._index(node.end_col_offset or 0)

    def place(self, index: int) -> str:
        """`column 5`, and the line where there are several."""
        before = self.text[:index].split("\n")
        column = f"column {len(before[-1]) + 1}"
        return f"line {len(before)}, {column}" if len(before) > 1 else column

    def excerpt(self, node: ast.expr) -> str:
        """The node as it was written, cut to a line."""
        part = self.line[self.start(node) : self._end(node)]
        return part if len(part) <= 60 else part[:57] + "..."

    def error(self, index: int, reason: str) -> ExpressionError:
        """What is wrong at this index of the text."""
        return ExpressionError(f"{self.place(index)}: {reason}")

    def refuse(self, node: ast.expr, reason: str) -> ExpressionError:
        """What is not allowed at this node."""
        return self.error(self.start(node), reason)

    def failed(self, node: ast.expr, reason: object) -> ExpressionError:
        """What went wrong at this node with the values of one message."""
        return ExpressionError(f"{self.place(self.start(node))}, in `{self.excerpt(node)}`: {reason}")

    def limit(self, tree: ast.expr) -> None:
        """Refuse too many or too deeply nested parts, level by level, so that deep nesting costs no recursion."""
        level, depth, count = [tree], 0, 0
        while level:
            depth += 1
            count += len(level)
            if depth > MAX_DEPTH:
                raise self.refuse(
                    level[0], f"nested more than {MAX_DEPTH} deep around here; split it into several nodes"
                )
            if count > MAX_NODES:
                raise self.refuse(tree, f"more than {MAX_NODES} parts; split it into several nodes")
            level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]


def walks(node: ast.AST) -> bool:
    """Whether this part goes through a list or text item by item: sum(list) and the like, and `in`."""
    if isinstance(node, ast.Compare):
        return any(isinstance(operation, (ast.In, ast.NotIn)) for operation in node.ops)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _WALKING


def count_walks(tree: ast.AST) -> int:
    """How many lists or texts an expression goes through."""
    operations = [node.ops if isinstance(node, ast.Compare) else [node] for node in ast.walk(tree) if walks(node)]
    return sum(map(len, operations))
