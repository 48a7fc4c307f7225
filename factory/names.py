"""Names of lines and sites: each is at once a folder, a partition key, a model name and a part of a URL."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from factory.errors import LineError, NameRefused

LINE_SITE = "_line"
"""The place, beside the sites, where what belongs to a whole line is kept; no site can have this name."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def checked_name(name: str, what: str = "site") -> str:
    """Return the name unchanged, or raise NameRefused: 1 to 63 letters, digits, `_` and `-`, the first no sign."""
    if not _NAME.fullmatch(name):
        raise NameRefused(
            f"{what} name {name!r} is refused: use 1 to 63 letters, digits, '_' or '-', the first a letter or digit"
        )
    return name


def model_name(line: str, site: str) -> str:
    """Return the registered model's name: `<line>.<site>`, and `<line>._base` for the base model of all sites."""
    checked_name(line, "line")
    return f"{line}._base" if site == LINE_SITE else f"{line}.{checked_name(site)}"


def line_and_site(model: str) -> tuple[str, str]:
    """Return the two parts of a site model's name; raises NameRefused unless it is `<line>.<site>`."""
    line, site = model_parts(model)
    return checked_name(line, "line"), checked_name(site)


def model_parts(model: str) -> tuple[str, str]:
    """Return line and site of a model's name as they are written there, whatever they are."""
    line, _, site = model.partition(".")
    return line, site


def meant(name: str, known: Iterable[str]) -> str:
    """Return the question `did you mean …? ` with the names most like this one; empty where none is like it."""
    by_folded = {one.casefold(): one for one in known}
    folded = name.casefold()
    close = [folded] if folded in by_folded else get_close_matches(folded, by_folded, n=3, cutoff=0.5)
    likely = [by_folded[one] for one in close]
    return f"did you mean {' or '.join(likely)}? " if likely else ""


def few(names: Iterable[str], at_most: int = 20) -> str:
    """Return names for a message: so many of them, in their order, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - at_most} more" if len(every) > at_most else ""
    return f"{', '.join(every[:at_most]) or 'none'}{more}"


def require_line(line: str, known: Iterable[str]) -> None:
    """Raise LineError, which says what was probably meant, unless the line is one of those known."""
    lines = sorted(known)
    if checked_name(line, "line") not in lines:
        raise LineError(f"there is no line {line!r}; {meant(line, lines)}lines/ has {few(lines)}")
