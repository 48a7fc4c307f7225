"""Names of lines and sites: each is at once a folder, a partition key, a model name and a part of a URL."""

import re

from factory.errors import NameRefused

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
    line, _, site = model.partition(".")
    return checked_name(line, "line"), checked_name(site)
