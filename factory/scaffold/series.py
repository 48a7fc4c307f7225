"""A profile in; out come what a new line looks back on, where its rows are series: lags and means of earlier rows.

A table is taken for series where the rows of one entity, or of one site, come at even times. What a row says is known
from its own time on, its target from `OUTCOME_AFTER` later; both are features of later rows only, point-in-time by
factory/features/windows.py.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from factory.scaffold.features import Feature, usable
from factory.scaffold.profiling.profile import Column, Profile
from factory.scaffold.starting_points import STARTING_POINTS
from factory.scaffold.texts import python_text, said

LENGTHS = tuple(timedelta(days=days) for days in (1 / 24, 1, 7, 28, 91, 365, 4 * 365))
"""The lengths of windows; of a series the first that holds four rows or more, and the next."""
_LEAST_ROWS = 4
_MOST_COLUMNS = 8
_OUTCOME = "outcome"


@dataclass(frozen=True, kw_only=True)
class Series:
    """What rows belong together, how far apart they are, and what of them is looked back on."""

    by: tuple[str, ...]
    """Columns of the clean table whose rows are one series."""
    spacing: timedelta
    windows: tuple[timedelta, ...]
    columns: tuple[Column, ...]
    """Numbers that are known at the row's time."""
    has_outcome: bool
    """Whether the target is a number, or yes or no, whose mean says something."""
    outcome_after: timedelta
    """How long after its row a target is known."""

    @property
    def season(self) -> timedelta | None:
        """After how long rows are likely to be alike: a day, or a week; None where the target is not known."""
        season = timedelta(days=1 if self.spacing < timedelta(hours=12) else 7)
        return season if self.spacing + self.outcome_after <= season and self.spacing <= timedelta(days=1) else None

    @property
    def days(self) -> int:
        """How many days back any feature looks."""
        return math.ceil((max(self.windows) + self.outcome_after) / timedelta(days=1))


def series_of(profile: Profile) -> Series | None:
    """Return the series of a table; None where it tells no time or its rows come at any."""
    spacing = profile.order.spacing() if profile.order else None
    if not profile.order or not spacing:
        return None
    windows = tuple(length for length in LENGTHS if length >= _LEAST_ROWS * spacing)[:2]
    taken = set(profile.columns)
    has_outcome = STARTING_POINTS[profile.task.kind].has_mean and _free(_OUTCOME, windows, taken)
    numbers = [column for column in usable(profile) if column.holds == "number" and column.name != _OUTCOME]
    columns = [column for column in numbers if _free(column.name, windows, taken)]
    if not windows or not (columns or has_outcome):
        return None
    return Series(
        by=("site", profile.entity) if profile.entity else ("site",),
        spacing=spacing,
        windows=windows,
        columns=tuple(columns[:_MOST_COLUMNS]),
        has_outcome=has_outcome,
        outcome_after=timedelta(days=profile.order.late_days()),
    )


def _free(name: str, windows: tuple[timedelta, ...], taken: set[str]) -> bool:
    """Return whether nothing else has a name that is made of this one, and take them."""
    made = {f"{name}_{what}" for what in ("before", "rows", "1d_ago", "7d_ago")}
    made |= {f"{of}_{named(length)}" for of in (name, f"{name}_rows", f"{name}_mean") for length in windows}
    if made & taken:
        return False
    taken |= made
    return True


def series_features(series: Series, profile: Profile) -> Iterator[Feature]:
    """Yield the features; the columns they are made of are those of `before` in features.py."""
    names = {column.name: said(column.source_name) or column.name for column in series.columns}
    for name, sentence in names.items():
        yield _last(f"{name}_before", f"{sentence} in the row before.")
        yield from _means(series, name, sentence)
    if series.has_outcome:
        target = said(profile.columns[profile.target].source_name) or "the target"
        yield _last(f"{_OUTCOME}_before", f"{target} in the last row before of which it is known.")
        if season := series.season:
            yield _last(f"{_OUTCOME}_{named(season)}_ago", f"{target}, {spoken(season)} ago.")
        yield from _means(series, _OUTCOME, target)


def constants(series: Series, profile: Profile) -> list[str]:
    """Return the constants of features.py that `before` uses."""
    steps = {column.name: _step(column) for column in series.columns}
    if series.has_outcome:
        steps[_OUTCOME] = 1.0 if profile.task.classes else _step(profile.columns[profile.target])
    windows = {named(length): length for length in series.windows}
    return [
        f"SERIES = [{', '.join(map(python_text, series.by))}]",
        '"""Rows with the same of these are one series."""',
        "WINDOWS = {",
        *(f"    {python_text(name)}: {_code(length)}," for name, length in windows.items()),
        "}",
        "LONGEST = max(WINDOWS.values())",
        f"OUTCOME_AFTER = {_code(series.outcome_after)}",
        '"""How long after its row the target is known: nothing is made of it before."""',
        *_listed("NUMBERS", [column.name for column in series.columns]),
        '"""The numbers that are looked back on, known at the time of their row."""',
        "STEPS = {",
        *(f"    {python_text(name)}: {step!r}," for name, step in steps.items()),
        "}",
        '"""What is averaged, each in whole steps of so much: sums of whole numbers are exact in any order."""',
    ]


def before_code(series: Series) -> str:
    """Return `before` and `mean_before` of features.py."""
    parts = [_BEFORE]
    if series.has_outcome:
        parts.append(_OUTCOMES)
        if season := series.season:
            shift, within = _code(season - series.spacing), _code(1.5 * series.spacing)
            code = _SEASON.replace("{name}", named(season))
            parts.append(code.replace("{shift}", shift).replace("{within}", within))
    known = 'pl.concat([numbers, outcomes], how="diagonal")' if series.has_outcome else "numbers"
    return "".join(parts) + _TOTALS.replace("{known}", known) + _MEAN


def _listed(name: str, values: list[str]) -> list[str]:
    return [f"{name} = [", *(f"    {python_text(value)}," for value in values), "]"] if values else [f"{name} = []"]


def _step(column: Column) -> float:
    """Return a power of ten of which seven digits hold the greatest value that was seen."""
    greatest = max(abs(float(column.counts.low)), abs(float(column.counts.high)))
    return float(f"1e{math.floor(math.log10(greatest)) - 6}") if 0 < greatest < math.inf else 1.0


def _code(length: timedelta) -> str:
    """Return a length as Python."""
    if length == timedelta(days=length.days):
        return f"timedelta(days={length.days})"
    return f"timedelta(seconds={length.total_seconds():g})"


_BEFORE = '''\
def before(wanted: pl.LazyFrame, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return `query` and what the rows of its own series say that came before each decision: the last, and sums."""
    numbers = rows.select(*SERIES, AT, *(pl.col(name).cast(pl.Float64).fill_nan(None) for name in NUMBERS))
    names = {name: f"{name}_before" for name in NUMBERS}
    parts = [last_before(wanted, numbers.rename(names), by=SERIES, values=list(names.values()), within=LONGEST)]
'''
_OUTCOMES = """\
    known_at = (pl.col(AT) + pl.lit(OUTCOME_AFTER)).alias(AT)
    outcomes = rows.select(*SERIES, known_at, label().cast(pl.Float64).alias("outcome")).drop_nulls("outcome")
    last = outcomes.rename({"outcome": "outcome_before"})
    parts.append(last_before(wanted, last, by=SERIES, values=["outcome_before"], within=LONGEST))
"""
_SEASON = """\
    season = outcomes.with_columns(pl.col(AT) + pl.lit({shift} - OUTCOME_AFTER))
    season = season.rename({"outcome": "outcome_{name}_ago"})
    parts.append(last_before(wanted, season, by=SERIES, values=["outcome_{name}_ago"], within={within}))
"""
_TOTALS = """\
    known = {known}
    steps = known.with_columns(
        *((pl.col(name) / step).round() for name, step in STEPS.items()),
        *(pl.col(name).is_not_null().cast(pl.Float64).alias(f"{name}_rows") for name in STEPS),
    )
    totals = {
        f"{of}_{window}": Total(of=of, length=length)
        for name in STEPS
        for of in (name, f"{name}_rows")
        for window, length in WINDOWS.items()
    }
    sums = totals_before(wanted, steps, by=SERIES, totals=totals)
    for part in parts:
        sums = sums.join(part, on=QUERY, how="left")
    return sums
"""
_MEAN = '''

def mean_before(name: str, window: str) -> pl.Expr:
    """Return the mean over a window before the decision, null where it has no row."""
    rows = pl.col(f"{name}_rows_{window}")
    mean = pl.col(f"{name}_{window}") * STEPS[name] / rows
    return pl.when(rows > 0).then(mean).alias(f"{name}_mean_{window}")'''


def named(length: timedelta) -> str:
    """Return a length as part of a name: 7d, 1h."""
    hours = length // timedelta(hours=1)
    return f"{hours // 24}d" if hours >= 24 else f"{hours}h"


def spoken(length: timedelta) -> str:
    """Return a length in words."""
    for unit, one in (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1))):
        if length >= one:
            count = round(length / one)
            return f"{count} {unit}s" if count > 1 else f"a {unit}" if unit != "hour" else "an hour"
    return f"{length.total_seconds():g} seconds"


def _last(name: str, sentence: str) -> Feature:
    return Feature(group="series", name=name, code=f"pl.col({python_text(name)})", sentence=sentence)


def _means(series: Series, name: str, sentence: str) -> Iterator[Feature]:
    for length in series.windows:
        yield Feature(
            group="series",
            name=f"{name}_mean_{named(length)}",
            code=f"mean_before({python_text(name)}, {python_text(named(length))})",
            sentence=f"{sentence}: its mean over the {spoken(length)} before.",
        )
