"""What drivers and SQLAlchemy say when they fail, as one sentence: table, database, what is wrong, what to do."""

import sqlite3
import sys

import sqlalchemy as sa

from factory.connectors.tables.place import Place
from factory.errors import SourceError
from factory.errors.masking import ENVIRONMENT

_EXTRAS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "mssql": "mssql"}
"""The extra of this library that brings the driver of a dialect."""
_REMEDIES = (
    ("no module named", "{install}"),
    ("failed to load the driver", "install the system's library that it names, on Debian libltdl7"),
    ("can't load plugin", "there is no dialect {driver}: install its package, or mend {variable}"),
    ("password authentication", "user or password is not theirs: mend {variable}"),
    ("access denied", "user or password is not theirs: mend {variable}"),
    ("login failed", "user or password is not theirs: mend {variable}"),
    ("permission denied", "let its owner grant that user SELECT on the table"),
    ("insufficient privilege", "let its owner grant that user SELECT on the table"),
    ("command denied", "let its owner grant that user SELECT on the table"),
    ("refused", "is it up, and may this machine reach its host and port?"),
    ("unable to establish connection", "is it up, and may this machine reach its host and port?"),
    ("can't connect", "is it up, and may this machine reach its host and port?"),
    ("timeout", "is it up, and may this machine reach its host and port?"),
    ("timed out", "is it up, and may this machine reach its host and port?"),
    ("could not translate host", "mend the host's name in {variable}"),
    ("name or service not known", "mend the host's name in {variable}"),
    ("failed to resolve", "mend the host's name in {variable}"),
    ("no equivalent in encoding", "a text is not in the database's encoding: mend it, or leave the column out"),
    ("invalid byte sequence", "a text is not in the database's encoding: mend it, or leave the column out"),
    ("does not exist", "mend the name in {variable}, or in the line's file"),
    ("unknown database", "mend the name in {variable}"),
    ("unable to open database", "check the path, which is relative to the project's folder"),
    ("not a database", "it is a file of another kind: check the path"),
    ("malformed", "the file is damaged: bring back a copy of it"),
    ("locked", "another program writes it: run again when that is done"),
    ("invalid input", "a value is not of its column's type: mend the table, or the column's type in the line's file"),
    ("dataerror", "a value is not of its column's type: mend the table, or the column's type in the line's file"),
)
"""What a driver's words mean, the first that fits, and what a person does about it."""
_ASK = "ask who runs the database, with these words; nothing was written"


def driver_errors() -> tuple[type[Exception], ...]:
    """Return what drivers raise; an ADBC driver's only where one has been imported."""
    adbc = sys.modules.get("adbc_driver_manager")
    drivers = (sa.exc.SQLAlchemyError, sqlite3.Error, *((adbc.Error,) if adbc else ()))
    return (*drivers, ImportError, OSError, ValueError, TypeError)


def unreadable(error: Exception, url: sa.URL, place: Place) -> SourceError:
    """Return what a driver, or SQLAlchemy, says of a table as a sentence, and what to do about it."""
    words = str(getattr(error, "orig", None) or error).partition("\nQuery was:")[0]
    said = words.strip().splitlines() or [type(error).__name__]
    remedy = next((remedy for sign, remedy in _REMEDIES if sign in f"{type(error).__name__} {said}".lower()), _ASK)
    variable = place.at.removeprefix(ENVIRONMENT) if place.at.startswith(ENVIRONMENT) else "the URL"
    return SourceError(
        f"table {place.table}: the database {url.render_as_string(hide_password=False)} cannot be read: "
        f"{' '.join(said)[:300]}; {remedy.format(variable=variable, driver=url.drivername, install=_install(url))}"
    )


def _install(url: sa.URL) -> str:
    extra = _EXTRAS.get(url.get_backend_name())
    if extra:
        return f"install its driver with this library's extra: pip install 'ai-factory[{extra}]'"
    return f"install the driver of {url.drivername} beside this library"
