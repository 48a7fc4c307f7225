"""Dates in, the moments between a backtest's periods out."""

from collections.abc import Callable
from datetime import datetime, timedelta

from factory.errors import LineError


def _next_month(moment: datetime) -> datetime:
    return (moment.replace(day=1) + timedelta(days=32)).replace(day=1)


STEPS: dict[str, Callable[[datetime], datetime]] = {
    "month": _next_month,
    "week": lambda moment: moment + timedelta(days=7),
}


def moments(first: str, last: str, every: str) -> list[datetime]:
    """Return the first day, each step after it, and the day after the last; UTC, naive, at least two.

    Months are those of the calendar: the first one may be shorter. Raises LineError.
    """
    if every not in STEPS:
        raise LineError(f"--every {every!r} is not one of {', '.join(STEPS)}")
    start, end = _day(first, "--from"), _day(last, "--to") + timedelta(days=1)
    if end <= start:
        raise LineError(f"--to {last} lies before --from {first}; nothing could be replayed")
    stops = [start]
    while (following := STEPS[every](stops[-1])) < end:
        stops.append(following)
    return [*stops, end]


def _day(text: str, option: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d")
    except ValueError as error:
        raise LineError(f"{option} {text!r} is not a date; write it as YYYY-MM-DD") from error
