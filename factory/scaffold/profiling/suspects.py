"""Columns that a person should look at before a model does: leaks of the target, and personal data.

A suspect that is `left_out` is no feature of the line; the others are, and are told of.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from factory.scaffold.profiling.association import Floats, missing_skill, skill
from factory.scaffold.profiling.naming import words_of

ALONE = 0.95
"""From this skill on, one column tells the target almost alone."""
STRONG = 0.80
_MISSING = 0.90
_LATE_AND_TELLING = 0.30


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LATE_WORDS = _words(
    "outcome result results resolved resolution closed closing final finished actual after ended settled completed "
    "discharged discharge death deceased refund refunded chargeback cancelled canceled decision verdict"
)
_PERSONAL_WORDS: Mapping[str, frozenset[str]] = {
    "a name of a person": _words("surname firstname lastname fullname forename maiden nachname vorname"),
    "an e-mail address": _words("email mail"),
    "a telephone number": _words("phone telephone mobile fax handy telefon"),
    "an address": _words("address street adresse strasse postcode zipcode zip plz"),
    "a bank account": _words("iban bic"),
    "a birth date": _words("birth birthday birthdate dob geburtstag geburtsdatum"),
    "an official number of a person": _words("ssn passport nino svnr"),
    "a network address": _words("ip ipaddress"),
}
_PERSONS = _words(
    "first last sur full middle given family customer client patient user employee person contact author owner"
)
_PERSONAL_PATTERNS = {
    "an e-mail address": r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$",
    "a telephone number": r"^(\+|00)\d[\d ()/.-]{6,18}\d$|^\(?0?\d{2,4}\)?[ /-]\d{3,4}[ -]\d{3,5}$",
    "a bank account": r"^[A-Z]{2}\d{2} ?([A-Z0-9]{4} ?){2,7}[A-Z0-9]{1,4}$",
    "a network address": r"^(\d{1,3}\.){3}\d{1,3}$",
    "an address": r"(?i)^\d{1,5} .+ (st|ave|street|avenue|road|rd|blvd|lane|drive)\b|(straße|strasse|str\.) ?\d+",
}
_OFTEN = 0.5


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A column, and why it is suspected, as the end of a sentence that begins with its name."""

    column: str
    why: str
    left_out: bool


def leak_of(
    column: str, source_name: str, values: pl.Series, targets: Floats, target_words: set[str]
) -> Suspect | None:
    """Return why a column may be known only because the target is, or None; `values` are a sample's."""
    alone, gaps = skill(values, targets), missing_skill(values, targets)
    words = set(words_of(source_name))
    late = sorted(words & _LATE_WORDS) or (sorted(words) if target_words and target_words <= words else [])
    if gaps >= _MISSING:
        why = "is missing exactly where the target has certain values"
    elif alone >= ALONE:
        why = f"tells the target almost alone ({alone:.0%} of it on rows not looked at before)"
    elif late and alone >= _LATE_AND_TELLING:
        why = f"sounds as if known only afterwards ({', '.join(late)}) and tells {alone:.0%} of the target alone"
    elif alone >= STRONG:
        return Suspect(
            column=column, why=f"tells {alone:.0%} of the target alone; is it known in time?", left_out=False
        )
    elif late:
        return Suspect(column=column, why=f"sounds as if known only afterwards ({', '.join(late)})", left_out=False)
    else:
        return None
    return Suspect(column=column, why=why, left_out=True)


def personal_data_of(column: str, source_name: str, values: pl.Series) -> Suspect | None:
    """Return what kind of personal data a column may hold, by its name or by what its values look like, or None."""
    kind = _by_name(words_of(source_name), values) or _by_pattern(values)
    return Suspect(column=column, why=f"may hold {kind}", left_out=True) if kind else None


def _by_name(words: list[str], values: pl.Series) -> str | None:
    for kind, telling in _PERSONAL_WORDS.items():
        if telling & set(words):
            return kind
    text = values.dtype == pl.String
    if text and ("name" in words or "names" in words) and (len(words) == 1 or _PERSONS & set(words)):
        return "a name of a person"
    return None


def _by_pattern(values: pl.Series) -> str | None:
    known = values.drop_nulls()
    if values.dtype != pl.String or not len(known):
        return None
    for kind, pattern in _PERSONAL_PATTERNS.items():
        if known.str.strip_chars().str.contains(pattern).sum() >= _OFTEN * len(known):
            return kind
    return None
