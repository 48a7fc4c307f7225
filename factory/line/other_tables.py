"""What a table's section takes from other tables: decisions from the things they are about, a site from a table's key.

Sections of a line's file come in, a section that says everything goes out. Whatever does not fit is a LineError.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from factory.errors import LineError
from factory.line.calendar import DUE_AT, Calendar, SiteThrough
from factory.line.changes import Changes
from factory.line.line import NOT_SAID
from factory.line.sections import TableSection
from factory.line.site_names import SiteNames

Sections = Mapping[str, TableSection]


def completed(name: str, sections: Sections) -> TableSection:
    """Return a table's section with what follows from those of other tables; raises LineError."""
    section = sections[name]
    if section.calendar:
        return _with_calendar(name, section.calendar, sections)
    if isinstance(section.site, SiteThrough):
        _require_through(name, section.site, sections)
    for key, value, nothing in (("columns", section.columns, {}), ("key", section.key, NOT_SAID)):
        if value == nothing:
            raise LineError(f"tables.{name}.{key}: this key is required", at=(key,))
    return section


def site_column(section: TableSection) -> str | None:
    """Return the column of a table's own by which its sites are told."""
    return section.site.key if isinstance(section.site, SiteThrough) else section.site


def _with_calendar(name: str, calendar: Calendar, sections: Sections) -> TableSection:
    """Return the section of a table that is made: columns, key and cursor follow from the table of the things."""
    section, things = sections[name], _other(name, calendar.of, sections, "calendar", "of")
    are_said = {"columns": bool(section.columns), "key": section.key != NOT_SAID, "cursor": bool(section.cursor)}
    if said := [key for key, is_said in are_said.items() if is_said]:
        raise LineError(
            f"table {name}: a calendar's rows have the key of {calendar.of}, its site and {DUE_AT}; leave "
            f"`{said[0]}` out",
            at=(said[0],),
        )
    if not isinstance(section.site, str):
        raise LineError(f"table {name}: `site` must name the column of {calendar.of} with the site", at=("site",))
    if not things.key:
        raise LineError(f"table {name}: {calendar.of} needs a `key`, to tell its things apart", at=("calendar", "of"))
    _require_columns(name, [section.site], calendar.of, things, "site")
    for column in filter(None, (calendar.since, calendar.until)):
        _require_columns(name, [column], calendar.of, things, "calendar")
        if not things.columns[column].startswith("Date"):
            raise LineError(
                f"table {name}: {column} of {calendar.of} is {things.columns[column]}, neither a day nor a moment",
                at=("calendar",),
            )
    if calendar.on:
        _require_events(name, calendar, things, sections)
    key = [column for column in things.key if column != section.site]
    columns = {column: things.columns[column] for column in key}
    return replace(
        section,
        columns={**columns, section.site: "String", DUE_AT: "Datetime[us, UTC]"},
        key=(*key, DUE_AT),
        cursor=DUE_AT,
        changes=replace(section.changes, known_by="whole") if section.changes != Changes() else _WHOLE,
        site_names=things.site_names if section.site_names == SiteNames() else section.site_names,
    )


_WHOLE = Changes(known_by="whole")
"""How changes of a calendar are known: all of it is made in no time."""


def _require_events(name: str, calendar: Calendar, things: TableSection, sections: Sections) -> None:
    """Raise LineError where the events that decisions follow name no thing, or no moment."""
    events = _other(name, calendar.on, sections, "calendar", "on")
    _require_columns(name, things.key, calendar.on, events, "calendar", "on")
    if not events.columns.get(events.cursor, "").startswith("Datetime"):
        raise LineError(
            f"table {name}: {calendar.on} has no cursor that is a moment, at which its events happen",
            at=("calendar", "on"),
        )


def _require_through(name: str, site: SiteThrough, sections: Sections) -> None:
    """Raise LineError where no site can be found in the table that should know it."""
    other = _other(name, site.through, sections, "site", "through")
    _require_columns(name, [site.column], site.through, other, "site", "column")
    if len(other.key) != 1 or other.site is not None or other.calendar:
        raise LineError(
            f"table {name}: {site.through} must be a table that all sites share, with one column as its key; its key "
            f"is {', '.join(other.key) or 'not said'}",
            at=("site", "through"),
        )


def _other(name: str, other: str, sections: Sections, *at: str) -> TableSection:
    """Return another table that a table's section names; raises LineError where there is none."""
    if other == name or other not in sections:
        others = ", ".join(one for one in sections if one != name) or "none"
        raise LineError(f"table {name}: {other!r} is none of the other tables ({others})", at=at)
    return sections[other]


def _require_columns(name: str, columns: Sequence[str], other: str, section: TableSection, *at: str) -> None:
    """Raise LineError where another table does not have the columns that a table's section needs of it."""
    if missing := [column for column in columns if column not in section.columns]:
        raise LineError(
            f"table {name}: {missing[0]!r} is not among the columns of {other} ({', '.join(section.columns)})", at=at
        )
