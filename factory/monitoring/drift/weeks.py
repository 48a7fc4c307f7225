"""The weeks that drift is judged by: whole ones, Monday to Monday in UTC, the same for all sites."""

from datetime import datetime, timedelta

WEEK = timedelta(days=7)
_MONDAY = datetime(1970, 1, 5)


def whole_weeks(since: datetime, until: datetime) -> list[datetime]:
    """Return the first moments of the weeks that lie wholly in `[since, until)`, oldest first; all naive UTC."""
    first = _MONDAY - (_MONDAY - since) // WEEK * WEEK
    return [first + number * WEEK for number in range(max(0, (until - first) // WEEK))]
