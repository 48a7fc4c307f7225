"""The records of JSON text: objects that follow each other, that are a list, or a list within an object.

Beside the decoder, how many there are in a list is counted by the commas between them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from factory.connectors.tables.json_text import DECODER, JsonText, Record, TwiceError
from factory.connectors.tables.reader import DamagedError

_DEEPEST = 3
"""So many objects may lie around a list of records that is looked for."""


@dataclass
class Counted:
    """How many objects a file has, by its line ends or by the commas between them; known once it is read."""

    objects: int = 0


def record_of_line(text: str, line: int, *, last: bool) -> Record:
    """Return what a line says, its text where that is no object; raises DamagedError of the last that is cut short."""
    try:
        value = DECODER.decode(text.strip("\ufeff \t\r"))
    except json.JSONDecodeError as error:
        if last:
            raise DamagedError(
                f"the file ends in the middle of this record: {error.msg}", "export it again", line
            ) from None
        value = None
    except (TwiceError, RecursionError):
        value = None
    return Record(line, value if isinstance(value, dict) else None, text.strip("\r"))


def listed(text: JsonText, counted: Counted) -> Iterator[Record]:
    """Yield the objects of a file that is one list; what is in it and no object is told as its text."""
    yield from _of_list(text, counted)
    if not text.done():
        raise DamagedError("something follows the list", "write one list of objects", text.line())


def listed_within(text: JsonText, keys: Sequence[str], counted: Counted) -> Iterator[Record]:
    """Yield the objects of lists that lie under keys, one in the other, of the objects that a file holds."""
    while not text.done():
        for key in keys:
            text.enter(key)
        yield from _of_list(text, counted)
        for key in reversed(keys):
            text.leave(key)


def following(text: JsonText, counted: Counted) -> Iterator[Record]:
    """Yield objects that follow each other, each over many lines; raises DamagedError of one around a table."""
    read = 0
    while not text.done():
        record = text.value()
        read += 1
        if read == 1 and text.done():
            _require_record(record.fields or {})
        yield record
    counted.objects = read


def around_list(text: JsonText) -> str:
    """Return under which keys, as `a.b`, a file's one object holds the list of its records; empty where it does not."""
    try:
        keys = text.keys_to_list(_DEEPEST) if text.at("{") else ()
        if not keys:
            return ""
        for _ in _of_list(text, Counted()):
            pass
        for key in reversed(keys):
            text.leave(key)
    except DamagedError:  # reading it says what is wrong
        return ""
    return ".".join(keys) if text.done() else ""


def _of_list(text: JsonText, counted: Counted) -> Iterator[Record]:
    text.begin()
    read = 0
    while not text.at("]") or read:
        yield text.value()
        read += 1
        if text.at("]"):
            break
        text.skip(",")
    text.skip("]")
    commas = text.end()
    counted.objects += commas + 1 if read else 0


def _require_record(fields: dict[str, Any]) -> None:
    """Refuse a file's only object where it is not one record but what a whole table lies in."""
    text = json.dumps(fields)
    if within := around_list(JsonText(text, iter(()))):
        raise DamagedError(
            f"it is one object, with the list of records in {within!r}",
            f"say `records: {within}` in the source's arguments, or write that list into a file of its own, such as "
            f"with `jq .{within}`",
        )
    if fields and all(isinstance(value, list | dict) for value in fields.values()):
        raise DamagedError(
            f"it is one object, in which {next(iter(fields))!r} and all else are lists or objects: no record",
            'write a list of objects, such as with pandas `to_json(orient="records")`',
        )
