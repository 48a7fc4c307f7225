"""SOQL, as much of it as the tests' Salesforce answers: SELECT … FROM … WHERE … GROUP BY … ORDER BY … LIMIT.

Texts are compared as Salesforce compares them: without a difference between small and capital letters, but for ids.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^'\\]|\\.)*')
    |(?P<moment>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    |(?P<date>\d{4}-\d\d-\d\d)
    |(?P<number>-?\d+(?:\.\d+)?)
    |(?P<name>[A-Za-z_][\w.]*)
    |(?P<sign><=|>=|!=|<>|[=<>(),])
    )""",
    re.X,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
Row = Mapping[str, Any]
Condition = Callable[[Row], bool]


class MalformedError(Exception):
    """A query that is none; `code` is Salesforce's own."""

    def __init__(self, message: str, code: str = "MALFORMED_QUERY") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked."""

    selected: list[tuple[str, str]]
    """Each column's function, empty where there is none, and its field."""
    table: str
    where: Condition = lambda row: True
    group_by: list[str] = field(default_factory=list)
    order_by: list[tuple[str, bool]] = field(default_factory=list)
    limit: int | None = None

    @property
    def is_count(self) -> bool:
        return self.selected == [("COUNT", "")]

    @property
    def is_aggregate(self) -> bool:
        return any(function for function, _ in self.selected) and not self.is_count


def parse(text: str, fields_of: Callable[[str], Mapping[str, Mapping[str, Any]]]) -> Query:
    """Return a query; raises MalformedError, also of a field that the object does not have."""
    return _Parser(text, fields_of).query()


def comparable(value: Any, kind: str) -> Any:
    """Return a value of a field as what is compared."""
    if value is None:
        return None
    if kind == "datetime":
        return datetime.fromisoformat(value).astimezone(UTC)
    return value.casefold() if isinstance(value, str) and kind not in ("id", "reference") else value


class _Parser:
    def __init__(self, text: str, fields_of: Callable[[str], Mapping[str, Mapping[str, Any]]]) -> None:
        self._tokens = list(self._read(text))
        self._place = 0
        self._fields_of = fields_of
        self._fields: Mapping[str, Mapping[str, Any]] = {}

    @staticmethod
    def _read(text: str) -> Iterator[tuple[str, str]]:
        place, text = 0, text.rstrip()
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None:
                raise MalformedError(f"unexpected token: '{text[place : place + 10]}'")
            yield str(token.lastgroup), token[str(token.lastgroup)]
            place = token.end()

    def query(self) -> Query:
        self._word("SELECT")
        selected = self._list(self._column)
        self._word("FROM")
        table = self._name()
        self._fields = self._fields_of(table)
        where = self._either() if self._is_word("WHERE") else (lambda row: True)
        grouped = []
        if self._is_word("GROUP"):
            self._word("BY")
            grouped = self._list(self._field)
        ordered = []
        if self._is_word("ORDER"):
            self._word("BY")
            ordered = self._list(self._ordering)
        limit = int(self._take("number")) if self._is_word("LIMIT") else None
        if self._place != len(self._tokens):
            raise MalformedError(f"unexpected token: '{self._tokens[self._place][1]}'")
        for function, name in selected:
            if name:
                self._known(name)
            if grouped and not function and name not in grouped:
                raise MalformedError(f"Field must be grouped or aggregated: {name}")
        return Query(selected=selected, table=table, where=where, group_by=grouped, order_by=ordered, limit=limit)

    def _column(self) -> tuple[str, str]:
        name = self._name()
        if not self._is_sign("("):
            return "", name
        field = "" if self._peek() == ("sign", ")") else self._name()
        self._sign(")")
        return name.upper(), field

    def _field(self) -> str:
        return self._known(self._name())

    def _ordering(self) -> tuple[str, bool]:
        name = self._field()
        descending = self._is_word("DESC")
        return name, descending or (self._is_word("ASC") and False)

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._is_word("OR"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def _both(self) -> Condition:
        parts = [self._one()]
        while self._is_word("AND"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def _one(self) -> Condition:
        if self._is_sign("("):
            within = self._either()
            self._sign(")")
            return within
        if self._is_word("NOT"):
            negated = self._one()
            return lambda row: not negated(row)
        name = self._field()
        if self._is_word("IN"):
            self._sign("(")
            values = self._list(lambda: self._literal(name))
            self._sign(")")
            return lambda row: self._value(row, name) in values
        sign = self._take("sign")
        wanted = self._literal(name)
        return lambda row: self._holds(self._value(row, name), sign, wanted)

    def _value(self, row: Row, name: str) -> Any:
        return comparable(row.get(name), self._fields[name]["type"])

    @staticmethod
    def _holds(value: Any, sign: str, wanted: Any) -> bool:
        if sign == "=":
            return bool(value == wanted)
        if sign in ("!=", "<>"):
            return bool(value != wanted)
        if value is None or wanted is None:
            return False
        signs: dict[str, Callable[[], bool]] = {
            "<": lambda: value < wanted,
            "<=": lambda: value <= wanted,
            ">": lambda: value > wanted,
            ">=": lambda: value >= wanted,
        }
        return signs[sign]()

    def _literal(self, name: str) -> Any:
        kind, text = self._tokens[self._place] if self._place < len(self._tokens) else ("", "")
        self._place += 1
        of_field = self._fields[name]["type"]
        fits = {
            "text": of_field not in ("datetime", "date", "double", "int", "currency", "percent", "boolean"),
            "moment": of_field == "datetime",
            "date": of_field == "date",
            "number": of_field in ("double", "int", "currency", "percent"),
            "name": True,
        }
        if not fits.get(kind):
            raise MalformedError(
                f"value of filter criterion for field '{name}' must be of type {of_field}", "INVALID_FIELD"
            )
        if kind == "text":
            plain = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[0]), text[1:-1])
            return comparable(plain, of_field)
        if kind == "moment":
            return comparable(text, "datetime")
        if kind == "number":
            return Decimal(text)
        words = {"true": True, "false": False, "null": None}
        if kind == "name" and text.lower() not in words:
            raise MalformedError(f"unexpected token: '{text}'")
        return words[text.lower()] if kind == "name" else text

    def _known(self, name: str) -> str:
        if name not in self._fields:
            raise MalformedError(f"No such column '{name}' on entity", "INVALID_FIELD")
        return name

    def _list(self, one: Callable[[], Any]) -> list[Any]:
        read = [one()]
        while self._is_sign(","):
            read.append(one())
        return read

    def _peek(self) -> tuple[str, str] | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _take(self, kind: str) -> str:
        token = self._peek()
        if token is None or token[0] != kind:
            raise MalformedError(f"unexpected token: '{token[1] if token else '<EOF>'}'")
        self._place += 1
        return token[1]

    def _name(self) -> str:
        return self._take("name")

    def _is_sign(self, sign: str) -> bool:
        if self._peek() == ("sign", sign):
            self._place += 1
            return True
        return False

    def _sign(self, sign: str) -> None:
        if not self._is_sign(sign):
            raise MalformedError(f"expecting '{sign}'")

    def _is_word(self, word: str) -> bool:
        token = self._peek()
        if token is not None and token[0] == "name" and token[1].upper() == word:
            self._place += 1
            return True
        return False

    def _word(self, word: str) -> None:
        if not self._is_word(word):
            raise MalformedError(f"expecting '{word}'")
