"""JSON text in chunks in, its values out one after the other, each with its line; only the part that is read is held.

Numbers are the literals in the text.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from factory.connectors.tables.csv_text import LONGEST_RECORD
from factory.connectors.tables.reader import DamagedError

_CUT = "it is cut short or damaged: export it again"
_LONG = (
    "write a list of objects, or one object a line; where they are under a key of one object, say which in the "
    "source's arguments, as in `records: data`"
)
_BLANKS = (" ", "\t", "\r", "\n", "\ufeff")


class Record(NamedTuple):
    """One object of a file."""

    line: int
    fields: dict[str, Any] | None
    """None where the text is no object."""
    text: str


class Literal(str):
    """A number as it is written."""

    __slots__ = ()


class TwiceError(ValueError):
    """A key is in an object twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise TwiceError("a key is in an object twice")
    return fields


DECODER = json.JSONDecoder(
    parse_float=Literal, parse_int=Literal, parse_constant=Literal, object_pairs_hook=_object, strict=False
)


class JsonText:
    """A text of which only the part that is being read is held. Raises DamagedError."""

    def __init__(self, start: str, chunks: Iterator[str]) -> None:
        self._text, self._chunks, self._place = start, chunks, 0
        self._line, self._told = 1, 0
        self._counted_from, self._commas = 0, 0

    def begin(self) -> None:
        """Pass over the sign that begins a list; what comes is counted."""
        self.skip("[")
        self._counted_from, self._commas = self._place, 0

    def end(self) -> int:
        """Return how many commas stood between the values of the list that was read."""
        self._count(self._place - 1)
        return self._commas

    def enter(self, key: str) -> None:
        """Pass over the beginning of an object, up to the value of a key."""
        before = list[str]()
        for name in self._names():
            if name == key:
                return
            before.append(name)
            self.value()
        raise DamagedError(
            f"an object has no key {key!r}, under which its records should be; it has {', '.join(before) or 'none'}",
            "mend `records` in the source's arguments",
            self.line(),
        )

    def leave(self, key: str) -> None:
        """Pass over the rest of an object, after the value of a key."""
        while self.at(","):
            self.skip(",")
            if self._name() == key:
                raise DamagedError(f"the key {key!r} is in an object twice", "export it again", self.line())
            self.value()
        self.skip("}")

    def keys_to_list(self, deepest: int) -> tuple[str, ...]:
        """Return the keys to the first list of objects within the object that comes; it is read up to that list."""
        for name in self._names():
            if self._come("[", "{"):
                return (name,)
            if deepest and self.at("{"):
                if inner := self.keys_to_list(deepest - 1):
                    return (name, *inner)
            else:
                self.value()
        return ()

    def _names(self) -> Iterator[str]:
        """Yield the keys of the object that comes; whoever asks for the next has passed over the value."""
        self.skip("{")
        while not self.at("}"):
            yield self._name()
            if not self.at(","):
                break
            self.skip(",")
        self.skip("}")

    def _name(self) -> str:
        name = self.value().text
        self.skip(":")
        return str(json.loads(name))

    def _come(self, first: str, second: str) -> bool:
        """Whether two signs come next, with blanks around them."""
        if not self.at(first):
            return False
        while not (rest := self._text[self._place + 1 :].lstrip()) and self._more():
            pass
        return rest.startswith(second)

    def skip(self, sign: str) -> None:
        """Pass over blanks and a sign."""
        if not self.at(sign):
            raise DamagedError(
                f"{sign!r} should stand here", "it is cut short or damaged: export it again", self.line()
            )
        self._place += 1

    def at(self, sign: str) -> bool:
        """Whether a sign comes next, after blanks."""
        self._skip_blanks()
        return self._text.startswith(sign, self._place)

    def done(self) -> bool:
        """Whether nothing but blanks is left."""
        self._skip_blanks()
        return self._place == len(self._text)

    def line(self) -> int:
        """Return the line of the file that is being read."""
        self._line += self._text.count("\n", self._told, self._place)
        self._told = self._place
        return self._line

    def value(self) -> Record:
        """Return the value that comes."""
        self._skip_blanks()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                if len(self._text) - self._place > LONGEST_RECORD:
                    raise DamagedError("an object of many MiB begins here", _LONG, self.line()) from None
                if not self._more():
                    line = self.line() + self._text.count("\n", self._place, error.pos)
                    raise DamagedError(error.msg, _CUT, line) from None
                continue
            except (TwiceError, RecursionError) as error:
                raise DamagedError(f"{error} in what begins here", "mend it", self.line()) from None
            if end == len(self._text) and self._more():  # a number may go on
                continue
            record = Record(self.line(), value if isinstance(value, dict) else None, self._text[self._place : end])
            self._place = end
            return record

    def _skip_blanks(self) -> None:
        while True:
            while self._text[self._place : self._place + 1] in _BLANKS and self._place < len(self._text):
                self._place += 1
            if self._place < len(self._text) or not self._more():
                return

    def _count(self, end: int) -> None:
        self._commas += commas_of(self._text[self._counted_from : end])
        self._counted_from = end

    def _more(self) -> bool:
        chunk = next(self._chunks, "")
        if not chunk:
            return False
        self.line()
        self._count(self._place)
        self._text = self._text[self._place :] + chunk
        self._place = self._told = self._counted_from = 0
        return True


def commas_of(text: str) -> int:
    """Return how many commas stand outside of every object, list and string of a text that ends in none of them."""
    plain = text.replace("\\\\", "").replace('\\"', "").encode()
    signs = np.frombuffer(plain, np.uint8)
    outside = np.cumsum(signs == ord('"')) % 2 == 0
    opened = np.isin(signs, [ord("{"), ord("[")]) & outside
    closed = np.isin(signs, [ord("}"), ord("]")]) & outside
    depth = np.cumsum(opened.astype(np.int32) - closed)
    return int(np.count_nonzero((signs == ord(",")) & outside & (depth == 0)))


def text_of_json(value: Any) -> str | None:
    """Return a value of a record as text; None for none."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return compact_json(value)


def compact_json(value: Any) -> str:
    """Return a value as JSON without blanks, its numbers as they were written."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{compact_json(key)}:{compact_json(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact_json, value)) + "]"
    return value if isinstance(value, Literal) else json.dumps(value, ensure_ascii=False)
