"""The section `personal` of a table: which columns tell who a person is, and what enters the factory in their place.

A source's rows in, the same rows without a person's values out. That is done where rows come in, of a source or at the
gateway's door, and nowhere else: whatever keeps, shows, logs or learns from rows after that never had the values.

A pseudonym is the first half of an HMAC-SHA-256 under a key that the environment has: 32 hexadecimal digits, the same
for the same value in every table, load and line, so that joins work; who has no key can neither read it nor guess it.
"""

import hashlib
import hmac
import os
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import unquote

import polars as pl

from factory.errors import EnvironmentRefused, LineError
from factory.errors.masking import ENVIRONMENT, MASK, keep_secret
from factory.storage.columns import FILE, MENDED, UNPARSED
from factory.storage.raw_values import text_of

if TYPE_CHECKING:
    from factory.line.line import Table

Treatment = Literal["drop", "mask", "pseudonymise"]
KEY_VARIABLE = "FACTORY_PERSONAL_KEY"
SHORTEST_KEY = 32
"""Signs of a key: 16 random bytes as hexadecimal digits, at least."""
_FITS_PSEUDONYMS = frozenset(
    {
        "expect_column_to_exist",
        "expect_column_values_to_be_null",
        "expect_column_values_to_be_unique",
        "expect_column_values_to_not_be_null",
        "expect_compound_columns_to_be_unique",
    }
)
"""Expectations that a pseudonym keeps where the value kept them."""
_QUOTED = re.compile(r"""(['"`])(.*?)\1""", re.DOTALL)
_SHORTEST_TOLD = 3
"""A shorter value is part of too many file names to say whose a file is."""


@dataclass(frozen=True, kw_only=True)
class PersonalData:
    """What holds for the personal columns of all tables."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    key: str = f"{ENVIRONMENT}{KEY_VARIABLE}"
    """The environment variable with the key of pseudonyms, `env:NAME`: 32 signs or more, such as `openssl rand -hex 32`
    gives. Lines with one key give a person one pseudonym. Runs and the gateway need it."""

    def __post_init__(self) -> None:
        """Raise LineError where the key itself seems to be written down."""
        if not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*", self.key):
            raise LineError(
                "personal_data: key must be the name of an environment variable, such as env:FACTORY_PERSONAL_KEY; a "
                "key never stands in a line's file",
                at=("key",),
            )


class Pseudonyms:
    """Gives pseudonyms and digests under one key."""

    def __init__(self, key: str) -> None:
        keep_secret(key)
        self._key = key.encode()

    @classmethod
    def under(cls, key: str, whose: str) -> "Pseudonyms":
        """Return those under the key in a variable, `env:NAME`; raises EnvironmentRefused without one."""
        name = key.removeprefix(ENVIRONMENT)
        secret = os.environ.get(name, "")
        if len(secret) < SHORTEST_KEY:
            there = f"has {len(secret)} signs" if secret else "is not set"
            raise EnvironmentRefused(
                f"{whose}: it has personal columns, and their key, the environment variable {name}, {there}: set it "
                f"to {SHORTEST_KEY} signs or more, the same wherever the line runs and is served; a new one is made "
                "with `openssl rand -hex 32`"
            )
        return cls(secret)

    def digest(self, purpose: str, text: str) -> str:
        """Return 32 hexadecimal digits that stand for a text, another for each purpose."""
        return hmac.digest(self._key, f"{purpose}\0{text}".encode(), hashlib.sha256).hex()[:32]

    @property
    def fingerprint(self) -> str:
        """What tells one key from another, and nothing about it."""
        return self.digest("key", "")[:16]

    def of(self, value: Any) -> str | None:
        """Return the pseudonym of one value; a missing or blank one has none, and stays as it is."""
        text = _plain(value)
        return text if text is None or not text.strip() else self.digest("pseudonym", _normal(text))

    def of_record(self, text: str) -> str:
        """Return what is kept of a record that could not be divided into columns."""
        return f"withheld: {len(text)} signs, {self.digest('record', text)}"


def _plain(value: Any) -> str | None:
    """Return a value as text: a whole number has one way to be written, whatever its type at the source."""
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124  not a number
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value == int(value) and abs(value) < 1 << 53:
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def _normal(text: str) -> str:
    """Return a text without what differs between two systems that mean the same: blanks around, composed letters."""
    return unicodedata.normalize("NFC", text).strip()


class Marking:
    """What becomes of one table's personal columns."""

    def __init__(self, marks: Mapping[str, Treatment], pseudonyms: Pseudonyms, nulls: Callable[[str], Collection[str]]):
        """`nulls` gives the texts that stand for a missing value in a column: they are nobody's."""
        self.marks, self.pseudonyms, self._nulls = marks, pseudonyms, nulls

    def rows(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return a source's rows without a person's values; where they come from is told without them, too."""
        if FILE in rows.columns:
            rows = rows.with_columns(self._file_names(rows))
        if UNPARSED in rows.columns:
            rows = rows.with_columns(_each(rows[UNPARSED], self.pseudonyms.of_record))
        kept = [self._column(rows[name]) for name in rows.columns if self.marks.get(name) != "drop"]
        return pl.DataFrame(kept, height=len(rows))

    def value(self, column: str, value: Any) -> Any:
        """Return what stands for one value of a column; of one that nobody marked the value itself."""
        treatment = self.marks.get(column)
        if treatment is None or value is None or value in self._nulls(column):
            return value
        return self.pseudonyms.of(value) if treatment == "pseudonymise" else MASK

    def record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return one row as JSON has it, without a person's values."""
        return {name: self.value(name, value) for name, value in record.items() if self.marks.get(name) != "drop"}

    def _column(self, values: pl.Series) -> pl.Series:
        if values.name not in self.marks:
            return values
        nulls = frozenset(self._nulls(values.name))
        become = self.pseudonyms.of if self.marks[values.name] == "pseudonymise" else lambda _: MASK
        return _each(values, lambda text: text if text in nulls else become(text))

    def _file_names(self, rows: pl.DataFrame) -> pl.Series:
        """Return the names of files without values: of folders such as `email=…`, and of files that are called so."""
        persons = {
            text
            for name in self.marks
            if name in rows.columns
            for text in text_of(rows[name].unique().drop_nulls())
            if len(text) >= _SHORTEST_TOLD and text not in self._nulls(name)
        }

        def named(name: str) -> str:
            parts = (part.partition("=") for part in name.split("/"))
            whole = "/".join(
                f"{key}={MASK}" if sign and key in self.marks else key + sign + said for key, sign, said in parts
            )
            if FILE in self.marks or any(person in text for person in persons for text in (whole, unquote(whole))):
                return f"withheld-{self.pseudonyms.digest('file', name)}"
            return whole

        return _each(rows[FILE], named)


def _each(values: pl.Series, become: Callable[[str], str | None]) -> pl.Series:
    """Return a column of texts in which each value has become another; each different value is asked once."""
    texts = _texts(values)
    different = texts.unique().drop_nulls()
    others = pl.Series([become(text) for text in different], dtype=pl.String)
    return texts.replace_strict(different, others, default=None, return_dtype=pl.String)


def _texts(values: pl.Series) -> pl.Series:
    """Return a column as texts, as `_plain` writes one value."""
    if not values.dtype.is_float():
        return text_of(values)
    whole = values.cast(pl.Float64).fill_nan(None)
    is_whole = ((whole == whole.floor()) & (whole.abs() < 1 << 53)).fill_null(value=False)
    return whole.cast(pl.Int64, strict=False).cast(pl.String).zip_with(is_whole, text_of(whole)).alias(values.name)


def withheld(text: str, known: Collection[str]) -> str:
    """Return an error's sentence without values: of what it quotes stays what the line's file names itself."""
    return _QUOTED.sub(lambda quoted: quoted[0] if quoted[2] in known else f"{quoted[1]}{MASK}{quoted[1]}", text)


def require_marks(table: "Table") -> None:
    """Raise LineError where a personal column could not be what else the line's file says it is."""
    for name, treatment in table.personal.items():
        _require_mark(table, name, treatment)
    for number, rule in enumerate(table.contract):
        values = (text for value in rule.kwargs.values() for text in (value if isinstance(value, list) else [value]))
        named = {value for value in values if isinstance(value, str)}
        marked = [name for name in table.personal if name in named]
        if marked and rule.type not in _FITS_PSEUDONYMS:
            done = _DONE[table.personal[marked[0]]]
            raise LineError(
                f"table {table.name}: {rule.type} asks what is in {marked[0]!r}, which is {done} before the contract "
                "sees it; ask whether it is there, or leave the mark out",
                at=("contract", number),
            )


_DONE: Mapping[str, str] = {"drop": "dropped", "mask": "masked", "pseudonymise": "pseudonymised"}


def _require_mark(table: "Table", name: str, treatment: Treatment) -> None:
    roles = {
        "names the site, and so folders, models and metrics: group persons by another column": name
        == table.site_column,
        "is the cursor, and a pseudonym is no moment: take another": name == table.cursor,
        "tells of changes: take another column there": name in table.changes.columns,
        "is the surrogate key, which is made here: mark the columns that it is made of": bool(
            table.surrogate_key and name == table.surrogate_key.column
        ),
        f"is part of the key, and {_DONE[treatment]} two persons would be one: pseudonymise it": (
            name in table.key and treatment != "pseudonymise"
        ),
    }
    for role, is_so in roles.items():
        if is_so:
            raise LineError(f"table {table.name}: the personal column {name!r} {role}", at=("personal", name))
    if name in (MENDED, UNPARSED):
        raise LineError(f"table {table.name}: {name!r} is the factory's own column", at=("personal", name))
    if treatment == "drop" or name == FILE:
        return
    if name not in table.columns:
        raise LineError(
            f"table {table.name}: personal names {name!r}, which is not among its columns; a column that nobody needs "
            "is marked `drop`",
            at=("personal", name),
        )
    if table.columns[name] != "String":
        raise LineError(
            f"table {table.name}: {name!r} is {_DONE[treatment]}, which makes a text of it: declare it as String, not "
            f"{table.columns[name]}",
            at=("personal", name),
        )
