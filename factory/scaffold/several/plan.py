"""What a new line of several tables will be: choices made from their profiles, asked for where they do not say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from factory.errors import LineError
from factory.line.calendar import Calendar
from factory.line.lengths import length_of
from factory.line.windows import Window
from factory.scaffold.plan import ROW_ID
from factory.scaffold.profiling.naming import words_of
from factory.scaffold.profiling.profile import Column, TableProfile
from factory.scaffold.profiling.profiler import MOMENT
from factory.scaffold.several.asked import Ask, AskedOfTables, Question
from factory.scaffold.several.joins import Join, joins_to

DECISIONS = "decisions"
_TOLD_APART = 0.99
"""So large a share of different values makes a key of a column or a pair: systems send some rows twice."""
_RUN_IN = timedelta(days=14)
"""How long after the first measurements the decisions begin, so that windows are full."""
_SELDOM = 0.05
_ENTERED = frozenset(
    ["entered", "created", "recorded", "registered", "reported", "updated", "changed", "modified", "inserted", "loaded"]
)
_SINCE = frozenset(
    [
        "since",
        "signed",
        "hired",
        "installed",
        "start",
        "started",
        "begin",
        "from",
        "opened",
        "commissioned",
        "registered",
        "created",
        "joined",
    ]
)
_UNTIL = frozenset(
    ["until", "retired", "end", "ended", "to", "closed", "decommissioned", "left", "removed", "scrapped"]
)
_SITES = frozenset(
    [
        "site",
        "plant",
        "factory",
        "shop",
        "store",
        "branch",
        "location",
        "werk",
        "depot",
        "warehouse",
        "region",
        "station",
        "hub",
    ]
)


@dataclass(frozen=True, kw_only=True)
class TablePlan:
    """One table of the line."""

    name: str
    profile: TableProfile
    key: tuple[str, ...] = ()
    """Columns that tell rows apart; empty: a row is known by what is in it."""
    cursor: str = ""
    """The column with the moment at which a row happened; empty of a table of things."""
    entered_at: str = ""
    """The column with the moment at which people entered the row."""
    join: Join | None = None
    """How its rows name their thing; None of the things themselves."""
    is_about_one: bool = False
    """Whether each thing has at most one row."""

    @property
    def private(self) -> list[str]:
        """Columns with personal data, which stay out of the factory unless they have a role in the line."""
        needed = {*self.key, self.cursor, self.entered_at, self.join.column if self.join else ""}
        return [one.column for one in self.profile.personal if one.column not in needed]

    @property
    def kept(self) -> dict[str, Column]:
        """The columns that enter the factory."""
        return {name: column for name, column in self.profile.columns.items() if name not in self.private}

    @property
    def columns(self) -> dict[str, str]:
        """The declared columns and their types."""
        kinds = {
            name: MOMENT if name in (self.cursor, self.entered_at) else one.kind for name, one in self.kept.items()
        }
        return kinds if self.key else {**kinds, ROW_ID: "String"}

    @property
    def known_at(self) -> dict[str, list[str]]:
        """The section `known_at`: of what people enter later nothing is known before."""
        told = [name for name in self.kept if name not in (*self.key, self.cursor, self.entered_at)]
        return {self.entered_at: told} if self.entered_at and told else {}


@dataclass(frozen=True, kw_only=True)
class TablesPlan:
    """A line of several tables, to be written."""

    name: str
    of: str
    site: str
    event: str
    horizon: str
    calendar: Mapping[str, str]
    tables: Mapping[str, TablePlan]
    left_out: Mapping[str, str]
    """Tables that say nothing of the things → why."""
    guesses: tuple[str, ...]
    """What of the moments may not be as it was read, as sentences."""
    as_of: date
    made: date
    windows: Mapping[str, Window] = field(default_factory=dict)

    @property
    def things(self) -> TablePlan:
        """The table of the things."""
        return self.tables[self.of]

    @property
    def decision_table(self) -> str:
        """The name of the table of decisions, which no system keeps."""
        return DECISIONS if DECISIONS not in self.tables else f"{DECISIONS}_made"

    @property
    def entity(self) -> tuple[str, ...]:
        """The column of a decision that says what it is about."""
        return self.things.key

    @property
    def days(self) -> int:
        """About how many days of decisions there are."""
        first = self.calendar.get("begins")
        return max(1, (self.as_of - date.fromisoformat(first)).days) if first else 1

    @property
    def decisions(self) -> float:
        """About how many decisions there are."""
        return self.things.profile.rows * self.days * timedelta(days=1) / length_of(self.calendar["every"], "every")

    @property
    def base_rate(self) -> float:
        """About which share of decisions has an event within the horizon."""
        within = length_of(self.horizon, "horizon") / timedelta(days=1)
        return min(1.0, self.tables[self.event].profile.rows * within / (self.things.profile.rows * self.days))


def planned_of_tables(
    name: str, asked: AskedOfTables, profiles: Mapping[str, TableProfile], today: date, ask: Ask
) -> TablesPlan:
    """Return the plan of a line of several tables; asks what they do not say. Raises LineError."""
    of, key, joins = _things(asked, profiles, ask)
    tables: dict[str, TablePlan] = {of: TablePlan(name=of, profile=profiles[of], key=(key,))}
    left_out: dict[str, str] = {}
    for other, profile in profiles.items():
        if other == of:
            continue
        if other not in joins:
            left_out[other] = f"no column of it has the values of {of}.{key}"
            continue
        table = _other_table(other, profile, joins[other], asked, ask)
        if table.cursor or table.is_about_one:
            tables[other] = table
        else:
            left_out[other] = f"it has many rows a row of {of} and no column says when they happened"
    _require_times(asked, tables)
    event = _event(asked, tables, ask)
    horizon = asked.horizon or ask(
        Question(
            flag="horizon", text=f"how long before a row of {event} it is to be foreseen is not known", candidates=[]
        )
    )
    _ = length_of(horizon, "--horizon")
    calendar, as_of = _calendar(asked, tables, of, today)
    return TablesPlan(
        name=name,
        of=of,
        site=_site(asked, tables[of], ask),
        event=event,
        horizon=horizon,
        calendar=calendar,
        tables=tables,
        left_out=left_out,
        guesses=tuple(_days_only(tables)),
        as_of=as_of,
        made=today,
    )


def _things(
    asked: AskedOfTables, profiles: Mapping[str, TableProfile], ask: Ask
) -> tuple[str, str, Mapping[str, Join]]:
    """Return the table of the things, its key, and how the others name it: that which most others name."""
    names = [name for name in profiles if any(column.unique for column in profiles[name].columns.values())]
    if asked.of:
        Question(flag="of", text="", candidates=list(profiles)).checked(asked.of)
        names = [asked.of]
    found: dict[str, tuple[str, Mapping[str, Join]]] = {}
    for name in names:
        keys = [column for column in profiles[name].columns.values() if column.unique]
        ways = [(column.name, joins_to(name, column, profiles)) for column in keys]
        ways = [way for way in ways if way[1]]
        if ways:
            found[name] = max(ways, key=lambda way: (len(way[1]), sum(join.share for join in way[1].values())))
    if not found:
        named = f"table {asked.of}" if asked.of else "no table"
        raise LineError(
            f"{named} has {'no' if asked.of else 'a'} column that has another value in each row and whose values the "
            "other tables have, too: a line of several tables needs a table of the things it decides about, such as "
            "machines with a machine_id. Give it as --from, or mend the ids that occur twice"
        )
    most = max(len(joins) for _, joins in found.values())
    best = [name for name, (_, joins) in found.items() if len(joins) == most]
    text = (
        f"{' and '.join(best)}: each has a key that is found in {most} other tables; which lists the things is unclear"
    )
    question = Question(flag="of", text=text, candidates=best)
    of = best[0] if len(best) == 1 else question.checked(ask(question))
    return (of, *found[of])


def _other_table(name: str, profile: TableProfile, join: Join, asked: AskedOfTables, ask: Ask) -> TablePlan:
    cursor, entered_at = _moments(name, profile, asked, ask)
    is_about_one = profile.columns[join.column].unique and not cursor
    return TablePlan(
        name=name,
        profile=profile,
        key=(join.column,) if is_about_one else _key(profile, join.column, cursor),
        cursor=cursor,
        entered_at=entered_at,
        join=join,
        is_about_one=is_about_one,
    )


def _key(profile: TableProfile, thing: str, cursor: str) -> tuple[str, ...]:
    """Return what tells rows apart but for some that came twice: an id, or the thing and the moment; else nothing."""
    for column in profile.columns.values():
        counts = column.counts
        if column.holds == "id" and not counts.nulls and counts.distinct.count >= _TOLD_APART * counts.rows:
            return (column.name,)
    pair = profile.keys.get((thing, cursor))
    return (thing, cursor) if pair and not pair.nulls and pair.distinct.count >= _TOLD_APART * pair.rows else ()


def _moments(name: str, profile: TableProfile, asked: AskedOfTables, ask: Ask) -> tuple[str, str]:
    """Return the columns that say when rows happened, and when people entered them; empty where none does."""
    moments = [one for one in profile.columns.values() if one.holds == "moment" and one.null_share < _SELDOM]
    of_source = {one.source_name: one.name for one in moments}
    entered = [one.name for one in moments if _ENTERED & set(words_of(one.source_name))]
    happened = [one.source_name for one in moments if one.name not in entered] or [one.source_name for one in moments]
    question = Question(
        flag="time", text=f"which column says when a row of {name} happened is not clear", candidates=happened,
        prefix=f"{name}.",
    )  # fmt: skip
    if name in asked.times:
        said = Question(flag="time", text="", candidates=list(of_source), prefix=f"{name}.").checked(asked.times[name])
        cursor = of_source[said]
    elif not happened:
        return "", ""
    else:
        cursor = of_source[happened[0] if len(happened) == 1 else question.checked(ask(question))]
    later = [one for one in entered if one != cursor and _is_later(profile, one, cursor)]
    return cursor, later[0] if later else ""


def _is_later(profile: TableProfile, entered: str, happened: str) -> bool:
    """Whether what a column tells never comes before another, in a sample."""
    is_later = (profile.sample[entered] >= profile.sample[happened]).drop_nulls()
    return bool(len(is_later)) and bool(is_later.all())


def _days_only(tables: Mapping[str, TablePlan]) -> Iterator[str]:
    """Yield which tables tell only the day: a decision later that day would know what was still to come."""
    for name, table in tables.items():
        if table.cursor and table.profile.columns[table.cursor].kind == "Date":
            yield (
                f"{name}.{table.cursor} tells days without a time, read as 00:00: a decision later on a day than that "
                "knows all of the day's rows; keep `at` at 00:00, or give moments"
            )


def _require_times(asked: AskedOfTables, tables: Mapping[str, TablePlan]) -> None:
    for name in asked.times:
        Question(flag="time", text="", candidates=[one for one in tables if tables[one].join]).checked(name)


def _event(asked: AskedOfTables, tables: Mapping[str, TablePlan], ask: Ask) -> str:
    candidates = [name for name, table in tables.items() if table.cursor]
    text = "which table has the events to be foreseen, such as failures, is not known"
    if not candidates:
        raise LineError("no table has rows of the things with a moment, so there is no event to foresee; give one")
    question = Question(flag="event", text=text, candidates=candidates)
    if asked.event:
        return question.checked(asked.event)
    return candidates[0] if len(candidates) == 1 else question.checked(ask(question))


def _site(asked: AskedOfTables, things: TablePlan, ask: Ask) -> str:
    """Return the column of the things that names the site."""
    texts = {one.source_name: one.name for one in things.kept.values() if one.kind == "String" and not one.unique}
    if asked.site:
        return texts[Question(flag="site", text="", candidates=list(texts)).checked(asked.site)]
    named = [source for source in texts if _SITES & set(words_of(source))]
    if len(named) == 1:
        return texts[named[0]]
    if not texts:
        raise LineError(
            f"table {things.name} has no column of texts that could name the site; add one, with one value for all if "
            "there is one site"
        )
    text = f"which column of {things.name} names the site is not clear"
    question = Question(flag="site", text=text, candidates=named or list(texts))
    return texts[question.checked(ask(question))]


def _calendar(
    asked: AskedOfTables, tables: Mapping[str, TablePlan], of: str, today: date
) -> tuple[dict[str, str], date]:
    """Return the section `calendar` and the day before which the line looks: as far as the largest table goes."""
    measured = max((one for one in tables.values() if one.cursor), key=lambda one: one.profile.rows, default=None)
    calendar = {"of": of, "every": asked.every, "at": asked.at, **dict(_in_service(tables[of]))}
    if measured is None:
        return calendar, today
    counts = measured.profile.columns[measured.cursor].counts
    last, first = min(_day(counts.high), today), _day(counts.low)
    if last - first > 3 * _RUN_IN:
        first += _RUN_IN
    calendar["begins"] = first.isoformat()
    _ = Calendar(**calendar)
    return calendar, last + timedelta(days=1)


def _in_service(things: TablePlan) -> Iterator[tuple[str, Any]]:
    """Yield the columns from which and until which a thing is there."""
    moments = [one for one in things.kept.values() if one.holds == "moment"]
    for key, telling in (("since", _SINCE), ("until", _UNTIL)):
        named = [one.name for one in moments if telling & set(words_of(one.source_name))]
        if len(named) == 1:
            yield key, named[0]


def _day(moment: date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment
