"""Names of a table's columns in, names that the line can use everywhere out: plain identifiers, no two alike.

`^x$`, `{{ x }}` or ` ` would be a pattern to Polars, a template to the line's file, nothing to a person.
"""

import keyword
import re
import unicodedata
from collections.abc import Iterable

LONGEST = 30
_OURS = "site label decided_at rule query at asked pending row_number row_id only_site name"
_YAML = "yes no on off true false null"
RESERVED = frozenset(f"{_OURS} {_YAML}".split())
"""What the lake, the features and the quarantine call their own, and what YAML reads as no text."""


def identifier(text: str) -> str:
    """Return a text as ASCII letters, digits and `_`, the first a letter; empty where nothing of it is left."""
    folded = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    plain = re.sub(r"[^A-Za-z0-9]+", "_", folded).strip("_")
    return plain[:LONGEST].rstrip("_")


def line_names(columns: Iterable[str]) -> dict[str, str]:
    """Return the line's name for each column of a table; one that is usable as it is stays."""
    names: dict[str, str] = {}
    taken = {name.lower() for name in RESERVED}
    for place, column in enumerate(columns, 1):
        plain = identifier(column) or f"column_{place}"
        if plain[0].isdigit():
            plain = f"column_{plain}"[:LONGEST]
        if plain.lower() in RESERVED or keyword.iskeyword(plain) or keyword.issoftkeyword(plain):
            plain = f"{plain}_column"
        names[column] = _free(plain, taken)
        taken.add(names[column].lower())
    return names


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free.lower() in taken:
        number += 1
        free = f"{name[: LONGEST - len(str(number)) - 1]}_{number}"
    return free


def words_of(name: str) -> list[str]:
    """Return the words of a name, in lower case: `dateOfBirth`, `date_of_birth` and `Date of birth` have the same."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier_words(name)).lower().split("_")


def identifier_words(name: str) -> str:
    """Return a name with a `_` in place of everything between its words."""
    folded = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    return re.sub(r"[^A-Za-z0-9]+", "_", folded).strip("_")
