"""What pydantic found wrong with a section in, a sentence on each mistake out: where it is, the key, what to write."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

from pydantic import ValidationError

from factory.errors import LineError
from factory.line.sections import KINDS, LineSections

COMPLETE = ("missing", "value_error")
"""Kinds of mistake whose message is complete without the value: nothing is there, or a section says what it refuses."""
_TAGS = {*KINDS, "suite", "file", "site_column"}
_NUMBERS = ("int_type", "float_type", "int_parsing", "float_parsing")

Place = Callable[..., str]
"""Keys in, `<file>:<line number>` out."""


def mistakes(error: ValidationError, place: Place, *above: str | int) -> Iterator[str]:
    """Yield one sentence a mistake; `above` are the keys from the file's top to what was checked."""
    for mistake in error.errors(include_url=False):
        loc = (*above, *mistake["loc"])
        cause = mistake.get("ctx", {}).get("error")
        keys = (*loc, *cause.at) if isinstance(cause, LineError) else loc
        shown = ".".join(str(key) for key in loc if key not in _TAGS)
        if mistake["type"] == "union_tag_invalid":
            keys, shown = (*keys, "kind"), f"{shown}.kind"
        yield f"{place(*keys)}: {shown}: {_sentence(mistake, shown)}"


def _sentence(mistake: Any, shown: str) -> str:
    kind, loc = mistake["type"], mistake["loc"]
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return unknown_key(str(loc[-1]), known_keys(loc[:-1]))
    if kind == "union_tag_invalid":
        tags = mistake["ctx"]
        return f"there is no such kind; there are {_kinds(tags['expected_tags'])}, found {tags['tag']!r}"
    if kind == "missing":
        return "this key is required"
    if kind == "dataclass_type":
        return f"this must be a mapping of keys, found {mistake['input']!r}"
    message = str(mistake["msg"]).removeprefix("Value error, ").removeprefix(f"{shown}: ")
    return message if kind in COMPLETE else f"{message}, found {mistake['input']!r}"


def _kinds(tags: str) -> str:
    """Return the kinds of a section by the words that its file uses, from pydantic's list of their names."""
    kinds: list[Any] = [KINDS[tag.strip("'")] for tag in tags.split(", ")]
    return ", ".join(repr(kind.kind) for kind in kinds)


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Return what to tell of a key that is none."""
    near = get_close_matches(key, known, 1)
    return f"there is no such key; did you mean {near[0]!r}?" if near else f"there is no such key; {_there_are(known)}"


def _there_are(known: Sequence[str]) -> str:
    return f"there are {', '.join(known)}" if known else "see docs/reference/line-file.md"


def known_keys(loc: tuple[str | int, ...]) -> list[str]:
    """Return the keys of the section at a place in a line's file."""
    section: Any = LineSections
    for key in loc:
        section = KINDS.get(str(key)) or _section_in(get_type_hints(section).get(str(key))) or section
    return [key.name for key in fields(section)]


def _section_in(hint: Any) -> type | None:
    """Return the dataclass that a type says something of: itself, or one inside a mapping, a tuple or a union."""
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    return next((section for section in map(_section_in, get_args(hint)) if section), None)


def numbers_as_text(error: ValidationError, content: Any) -> Any | None:
    """Return the content with numbers that were read as text, or None where that is not all that is wrong.

    YAML takes 1e-3 for text, and what a template fills in is text too.
    """
    numbered = deepcopy(content)
    for mistake in error.errors(include_url=False):
        number = _number(mistake["input"]) if mistake["type"] in _NUMBERS else None
        if number is None:
            return None
        *above, last = [key for key in mistake["loc"] if key not in _TAGS]
        holder = numbered
        for key in above:
            holder = holder[key]
        holder[last] = number
    return numbered


def _number(value: Any) -> float | int | None:
    if not isinstance(value, str):
        return None
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return None
