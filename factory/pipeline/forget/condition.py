"""Who is meant: `column = value and column in (value, value)` in, one condition for each combination out.

A column may be written `table.column`; such a condition is about that table alone. A value is a number, a word, or a
text within quotes. Nothing is executed, and no message repeats a value.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import polars as pl

from factory.errors import PersonalDataRefused
from factory.line.line import Line, Table

Condition = Mapping[str, str]
"""Column, or `table.column` → value: all of these."""
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<sign>==?|\(|\)|,)|(?P<word>[^\s'"=(),]+))""", re.DOTALL
)
_HOW = "write it as: person = 'P-17' and clinic in (north, south)"


class _Token(NamedTuple):
    kind: str
    text: str
    place: int


def conditions(text: str) -> list[Condition]:
    """Return what a text says; raises PersonalDataRefused, which names the place of what cannot be read."""
    tokens = list(_tokens(text))
    columns: dict[str, list[str]] = {}
    for part in _parts(tokens):
        column, values = _clause(part)
        if column in columns:
            raise PersonalDataRefused(f"--where names {column!r} twice; {_HOW}")
        columns[column] = values
    return [dict(zip(columns, values, strict=True)) for values in product(*columns.values())]


def conditions_of_keys(keys: pl.DataFrame, file: str) -> list[Condition]:
    """Return a condition for each row of a file of texts, whose headings are columns; raises PersonalDataRefused."""
    if not keys.columns or keys.is_empty():
        raise PersonalDataRefused(f"{file} has no row: its heading names columns, and each row is who is meant")
    if any(count for count in keys.null_count().row(0)):
        raise PersonalDataRefused(f"{file} has an empty field: each row must say all columns of its heading")
    return [dict(row) for row in keys.unique(maintain_order=True).iter_rows(named=True)]


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    end = len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None:
            raise PersonalDataRefused(f"--where cannot be read from sign {place + 1} on; {_HOW}")
        kind = str(found.lastgroup)
        said = found[kind]
        yield _Token(kind, said[1:-1].replace(said[0] * 2, said[0]) if kind == "text" else said, found.start(kind))
        place = found.end()


def _parts(tokens: Sequence[_Token]) -> Iterator[list[_Token]]:
    part: list[_Token] = []
    for token in tokens:
        if token.kind == "word" and token.text.lower() == "and":
            yield part
            part = []
        else:
            part.append(token)
    yield part


def _clause(part: Sequence[_Token]) -> tuple[str, list[str]]:
    """Return a column and the values that it may have."""
    signs = [token.text if token.kind == "sign" else token.kind for token in part]
    column = part[0].text if part and part[0].kind != "sign" else ""
    if len(part) == 3 and column and signs[1] in ("=", "==") and part[2].kind != "sign":
        return column, [part[2].text]
    inner = part[3:-1]
    listed = (
        len(part) > 4
        and column
        and (part[1].kind, part[1].text.lower(), signs[2], signs[-1]) == ("word", "in", "(", ")")
        and all(
            (token.kind == "sign") == bool(number % 2) and (token.kind != "sign" or token.text == ",")
            for number, token in enumerate(inner)
        )
        and len(inner) % 2
    )
    if not listed:
        where = f"at sign {part[0].place + 1}" if part else "at its end"
        raise PersonalDataRefused(f"--where cannot be read {where}; {_HOW}")
    return column, list(dict.fromkeys(token.text for token in inner if token.kind != "sign"))


def by_table(line: Line, some: Sequence[Condition]) -> dict[str, list[Condition]]:
    """Return the conditions that each table has the columns for, with its own column names, as the lake has values.

    Raises PersonalDataRefused where no table has the columns of a condition, or what the lake has of one tells nobody.
    """
    found: dict[str, list[Condition]] = {}
    for condition in some:
        fits = {name: own for name, table in line.tables.items() if (own := _own(table, condition)) is not None}
        if not fits:
            columns = ", ".join(condition)
            raise PersonalDataRefused(
                f"line {line.name}: no table has all of {columns}; its tables are "
                + "; ".join(f"{name}: {', '.join(table.columns)}" for name, table in line.tables.items())
            )
        for name, own in fits.items():
            table = line.tables[name]
            if useless := [column for column in own if table.personal.get(column) == "mask"]:
                raise PersonalDataRefused(
                    f"line {line.name}, table {name}: {useless[0]!r} is masked, and finds nobody: name another column"
                )
            marking = line.marking(table)
            kept = {column: marking.value(column, value) if marking else value for column, value in own.items()}
            found.setdefault(name, []).append(kept)
    return found


def _own(table: Table, condition: Condition) -> Condition | None:
    """Return a condition in a table's own column names; None where it is about others."""
    own = {}
    for column, value in condition.items():
        of, _, plain = column.rpartition(".") if column not in table.columns else ("", "", column)
        if of not in ("", table.name) or plain not in table.columns:
            return None
        own[plain] = value
    return own
