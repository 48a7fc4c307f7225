"""The text of a row condition in, a Polars expression out, by recursive descent over its tokens; nothing is run.

Comparisons, `and`, `or`, `not`, parentheses, `in`, `between`, `like`, tests for missing values, and columns as names,
in backticks or as `col("name")`. What else the languages of pandas, Spark and Polars have is refused by name.
"""

import ast
import re
from collections.abc import Callable, Mapping
from functools import reduce
from operator import and_
from typing import Any

import polars as pl

from factory.data.contract.condition_columns import COMPARE, Column, Columns
from factory.data.contract.kwargs import like_regex

_METHODS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_MISSING = {"isnull": True, "isna": True, "isnan": True, "notnull": False, "notna": False, "isnotnull": False}
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "none": None, "null": None, "nan": None}
_MODULES = ("pl", "pd", "F", "functions")
_DATES = ("date", "to_date", "timestamp", "to_timestamp", "datetime")
_TOKEN = re.compile(
    r"""(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<text>'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*")
      | (?P<name>`[^`]+` | [^\W\d]\w*)
      | (?P<sign>==|!=|<>|<=|>=|&&|\|\||[<>=!~&|()\[\],.-])""",
    re.VERBOSE | re.DOTALL,
)
_DEEPEST = 50


class Parser:
    """Reads one condition; of SQL a quote mark is doubled within a text."""

    def __init__(self, text: str, columns: Columns, *, sql: bool) -> None:
        self.columns = columns
        self.sql = sql
        self.tokens = _tokens(text)
        self.place = 0
        self.depth = 0

    def condition(self) -> pl.Expr:
        """Return the condition; raises ValueError or TypeError that says what cannot be understood."""
        holds = self._truth(self._any())
        if not self._at_end:
            raise ValueError(f"{self._next!r} is not understood after {self.tokens[self.place - 1][1]!r}")
        return holds

    @property
    def _at_end(self) -> bool:
        return self.place >= len(self.tokens)

    @property
    def _next(self) -> str:
        return "" if self._at_end else self.tokens[self.place][1]

    def _takes(self, *words: str) -> bool:
        """Step over the next token if it is one of these words or signs."""
        if self._at_end or self.tokens[self.place][0] == "text" or self._next.lower() not in words:
            return False
        self.place += 1
        return True

    def _needs(self, sign: str) -> None:
        if not self._takes(sign):
            raise ValueError(f"{sign!r} is missing {f'before {self._next!r}' if self._next else 'at the end'}")

    def _any(self) -> Any:
        holds = self._all()
        while self._takes("or", "|", "||"):
            holds = self._truth(holds) | self._truth(self._all())
        return holds

    def _all(self) -> Any:
        holds = self._negated()
        while self._takes("and", "&", "&&"):
            holds = self._truth(holds) & self._truth(self._negated())
        return holds

    def _negated(self) -> Any:
        return ~self._truth(self._nested(self._negated)) if self._takes("not") else self._predicate()

    def _nested(self, read: Callable[[], Any]) -> Any:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise RecursionError
        value = read()
        self.depth -= 1
        return value

    def _predicate(self) -> Any:
        left = self._operand()
        if self._next in COMPARE:
            return self._chain(left)
        if self._takes("is"):
            return self._is(left)
        wanted = not self._takes("not")
        if self._takes("in"):
            return self.columns.among(left, self._list(), wanted=wanted)
        if self._takes("between"):
            low = self._operand()
            self._needs("and")
            inside = self._between(left, low, self._operand())
            return inside if wanted else ~inside
        if self._takes("like"):
            matches = self._like(left, self._operand())
            return matches if wanted else ~matches
        if not wanted:
            raise ValueError("`not` needs `in`, `between` or `like` after it")
        return left

    def _chain(self, left: Any) -> pl.Expr:
        comparisons = []
        while self._next in COMPARE:
            sign = self._next
            self.place += 1
            right = self._operand()
            comparisons.append(self.columns.compared(left, sign, right))
            left = right
        return reduce(and_, comparisons)

    def _is(self, left: Any) -> pl.Expr:
        wanted = not self._takes("not")
        if not isinstance(left, Column):
            raise ValueError("`is` needs a column before it")
        if self._takes("null", "none", "nan"):
            return left.missing() if wanted else ~left.missing()
        if self._takes("true", "false"):
            truth = self.tokens[self.place - 1][1].lower() == "true"
            holds = self.columns.compared(left, "==", truth).fill_null(value=False)
            return holds if wanted else ~holds
        raise ValueError("`is` needs null, true or false after it")

    def _between(self, value: Any, low: Any, high: Any) -> pl.Expr:
        return self.columns.compared(value, ">=", low) & self.columns.compared(value, "<=", high)

    def _like(self, column: Any, pattern: Any) -> pl.Expr:
        if not isinstance(column, Column) or column.dtype != pl.String or not isinstance(pattern, str):
            raise ValueError("`like` needs a String column before it and a pattern after it")
        return column.value.str.contains(like_regex(pattern))

    def _truth(self, value: Any) -> pl.Expr:
        """Return a condition, which a column of truth values is too."""
        if isinstance(value, pl.Expr):
            return value
        if isinstance(value, Column) and value.dtype == pl.Boolean:
            return self.columns.compared(value, "==", right=True)
        raise ValueError(f"{value.name if isinstance(value, Column) else repr(value)} alone is no condition")

    def _operand(self) -> Any:
        if self._takes("~", "!"):
            return ~self._truth(self._nested(self._operand))
        if self._takes("-"):
            number = self._operand()
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise ValueError("arithmetic is not done here, `-` stands before a number alone")
            return -number
        value = self._in_parentheses() if self._takes("(") else self._list() if self._next == "[" else self._atom()
        while self._takes("."):
            value = self._method(value)
        return value

    def _in_parentheses(self) -> Any:
        value = self._nested(self._any)
        if self._takes(","):
            values = [value]
            while self._next != ")":
                values.append(self._constant())
                self._takes(",")
            value = values
        self._needs(")")
        return value

    def _list(self) -> list[Any]:
        closing = ")" if self._next == "(" else "]"
        if not self._takes("(", "["):
            raise ValueError("a list of constants in ( ) or [ ] must follow")
        values = []
        while not self._takes(closing):
            values.append(self._constant())
            if self._next != closing:
                self._needs(",")
        return values

    def _constant(self) -> Any:
        value = self._operand()
        if isinstance(value, Column | pl.Expr | list):
            raise ValueError("a list may have constants only")
        return value

    def _atom(self) -> Any:
        if self._at_end:
            raise ValueError("it ends where a column or a constant must follow")
        kind, token = self.tokens[self.place]
        self.place += 1
        if kind == "number":
            return int(token) if token.isdigit() else float(token)
        if kind == "text":
            return token[1:-1].replace(token[0] * 2, token[0]) if self.sql else ast.literal_eval(token)
        if kind == "sign":
            raise ValueError(f"{token!r} stands where a column or a constant must")
        return self._word(token)

    def _word(self, word: str) -> Any:
        if word.startswith("`"):
            return self.columns.named(word[1:-1])
        if word in _MODULES and word not in self.columns.types and self._takes("."):
            return self._atom()
        if self._next == "(":
            return self._call(word)
        if word not in self.columns.types and word.lower() in _CONSTANTS:
            return _CONSTANTS[word.lower()]
        if word not in self.columns.types and word.lower() in _DATES and self.tokens[self.place :][:1]:
            return self._atom()  # DATE '2024-01-01'
        return self.columns.named(word)

    def _call(self, name: str) -> Any:
        self._needs("(")
        argument = self._nested(self._any)
        self._needs(")")
        if name.lower() in ("col", "column") and isinstance(argument, str):
            return self.columns.named(argument)
        if name.lower() in _DATES and isinstance(argument, str):
            return argument
        wanted = _MISSING.get(name.lower())
        if wanted is None or not isinstance(argument, Column):
            raise ValueError(f"the function {name!r} is not understood")
        return argument.missing() if wanted else ~argument.missing()

    def _method(self, value: Any) -> pl.Expr:
        name = "" if self._at_end else self.tokens[self.place][1]
        plain = name.lower().replace("_", "")
        if not isinstance(value, Column) or plain not in {*_MISSING, *_METHODS, "isin", "between"}:
            raise ValueError(f"'.{name}' is not understood")
        self.place += 1
        self._needs("(")
        arguments = []
        while not self._takes(")"):
            arguments.append(self._operand())
            if self._next != ")":
                self._needs(",")
        return self._applied(plain, value, arguments)

    def _applied(self, method: str, column: Column, arguments: list[Any]) -> pl.Expr:
        if method in _MISSING and not arguments:
            return column.missing() if _MISSING[method] else ~column.missing()
        if method == "isin" and arguments:
            values = arguments[0] if isinstance(arguments[0], list) else arguments
            return self.columns.among(column, values, wanted=True)
        if method == "between" and len(arguments) == 2:
            return self._between(column, *arguments)
        if method in _METHODS and len(arguments) == 1:
            return self.columns.compared(column, _METHODS[method], arguments[0])
        raise ValueError(f"'.{method}' does not take {len(arguments)} arguments")


def _tokens(text: str) -> list[tuple[str, str]]:
    """Return kind and text of each token; raises ValueError at the first that is none."""
    tokens, place = [], 0
    while rest := text[place:].lstrip():
        place = len(text) - len(rest)
        token = _TOKEN.match(text, place)
        if token is None or token.lastgroup is None:
            raise ValueError(f"{text[place]!r} at character {place + 1} is not understood")
        tokens.append((token.lastgroup, token.group()))
        place = token.end()
    return tokens
