"""When shifts become an alert: more than noise over all that is watched, in k of n windows, not just after training.

One alert a site, with the features that moved, what may be lost, and a picture. State in, verdict out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from factory.line.drift import Limits
from factory.monitoring.drift.measure import Measure, Shift
from factory.monitoring.drift.picture import picture

WEEK = timedelta(days=7)
"""The window that a line's drift is judged by."""
_MONDAY = datetime(1970, 1, 5)


@dataclass(frozen=True, kw_only=True)
class DecisionValue:
    """What a site's decisions are worth: EUR a decision by its verdict, and how many there are in a window."""

    value_per_decision_eur: float
    decisions: int

    @property
    def at_risk_eur(self) -> float:
        """What a window's decisions earn while the model holds, which is what may be lost."""
        return max(0.0, self.value_per_decision_eur) * self.decisions


Moved = tuple[str, Measure]


@dataclass(frozen=True, kw_only=True)
class SiteState:
    """What is remembered of a site: what moved in its last windows, oldest first, and until when it is quiet."""

    windows: tuple[tuple[Moved, ...], ...] = ()
    quiet_until: datetime | None = None

    def retrained(self, at: datetime, limits: Limits) -> "SiteState":
        """Return the state after a retraining: the past is forgotten, and it is quiet for a while."""
        return SiteState(quiet_until=at + timedelta(days=limits.quiet_days))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` is the inverse."""
        quiet = self.quiet_until.isoformat() if self.quiet_until else None
        return {"windows": [[list(moved) for moved in window] for window in self.windows], "quiet_until": quiet}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SiteState":
        """Rebuild a state."""
        quiet = datetime.fromisoformat(data["quiet_until"]) if data["quiet_until"] else None
        windows = tuple(tuple((feature, measure) for feature, measure in window) for window in data["windows"])
        return cls(windows=windows, quiet_until=quiet)


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One site moved: which features, how far, what may be lost in EUR a window; `acts` is False in a dry run."""

    site: str
    at: datetime
    shifts: tuple[Shift, ...]
    at_risk_eur: float | None
    acts: bool
    text: str
    picture: str = field(repr=False)
    """An SVG of the features that moved most."""


def whole_weeks(since: datetime, until: datetime) -> list[datetime]:
    """Return the starts of the weeks that lie wholly in `[since, until)`, oldest first; all naive UTC.

    A week is Monday to Monday, the same for all sites.
    """
    first = _MONDAY - (_MONDAY - since) // WEEK * WEEK
    return [first + number * WEEK for number in range(max(0, (until - first) // WEEK))]


def discovered(shifts: Sequence[Shift], max_false: float) -> list[Shift]:
    """Return the shifts that are more than noise, of which at most the given share is expected to be false.

    Benjamini and Hochberg (JRSS B 57, 1995), over everything that was looked at in a window, all sites together; it
    holds for features that depend positively on each other (Benjamini and Yekutieli, 2001). The likeliest come first. A
    shift whose p-value is not a number is no discovery, but counts as one that was looked at.
    """
    from scipy.stats import false_discovery_control  # here: sensors load this module without judging

    adjusted = false_discovery_control(np.nan_to_num([shift.p_value for shift in shifts], nan=1.0))
    passing = [shift for shift, rate in zip(shifts, adjusted, strict=True) if rate <= max_false]
    return sorted(passing, key=lambda shift: shift.p_value)


def watched(
    states: Mapping[str, SiteState],
    shifts: Sequence[Shift],
    *,
    at: datetime,
    limits: Limits,
    values: Mapping[str, DecisionValue] | None = None,
) -> tuple[dict[str, SiteState], list[Alert]]:
    """Judge one window of all sites that ended `at`; return the new states and at most one alert a site.

    A site without shifts, since it had no rows, keeps its state. Where the mode is `disabled`, nothing is judged.
    """
    if limits.mode == "disabled":
        return dict(states), []
    looked_at = [shift for shift in shifts if shift.rows >= limits.min_rows]
    # Whether decisions earn less is a family of its own: the number of features must not make it harder to show.
    families = [[shift for shift in looked_at if (shift.measure == "value") is worth] for worth in (False, True)]
    noise = limits.max_false_discoveries
    far = [shift for family in families for shift in discovered(family, noise) if _is_far(shift, limits)]
    after, alerts = dict(states), []
    for site in sorted({shift.site for shift in looked_at}):
        mine = [shift for shift in far if shift.site == site]
        state = _remembered(states.get(site, SiteState()), mine, limits)
        lasting = _lasting(state, mine, limits)
        if lasting and not (state.quiet_until and at < state.quiet_until):
            alerts.append(_alert(site, at, lasting, (values or {}).get(site), acts=limits.mode == "enabled"))
            state = replace(state, quiet_until=at + timedelta(days=limits.quiet_days))
        after[site] = state
    return after, alerts


def _is_far(shift: Shift, limits: Limits) -> bool:
    if shift.measure == "value":
        return shift.effect >= limits.min_value_loss * abs(shift.was[0]) > 0
    return shift.effect >= (limits.min_psi if shift.measure == "distribution" else limits.min_null_change)


def _remembered(state: SiteState, moved: Sequence[Shift], limits: Limits) -> SiteState:
    now = tuple((shift.feature, shift.measure) for shift in moved)
    return replace(state, windows=(*state.windows, now)[-limits.windows_of[1] :])


def _lasting(state: SiteState, moved: Sequence[Shift], limits: Limits) -> list[Shift]:
    """Return what moved now and in enough windows, farthest first."""
    times = {
        (shift.feature, shift.measure): sum((shift.feature, shift.measure) in window for window in state.windows)
        for shift in moved
    }
    lasting = [shift for shift in moved if times[shift.feature, shift.measure] >= limits.windows_of[0]]
    return sorted(lasting, key=lambda shift: (shift.measure != "value", -shift.effect))


def _alert(site: str, at: datetime, shifts: Sequence[Shift], value: DecisionValue | None, *, acts: bool) -> Alert:
    at_risk = value.at_risk_eur if value else None
    money = "" if at_risk is None else f"; {at_risk:,.0f} EUR a window rest on its decisions"
    sentences = "; ".join(sentence(shift) for shift in shifts[:5])
    more = f"; and {len(shifts) - 5} more" if len(shifts) > 5 else ""
    return Alert(
        site=site,
        at=at,
        shifts=tuple(shifts),
        at_risk_eur=at_risk,
        acts=acts,
        text=f"{site} moved: {sentences}{more}{money}",
        picture=picture(site, shifts[:6]),
    )


def sentence(shift: Shift) -> str:
    """Return what moved in words."""
    if shift.measure == "nulls":
        return f"{shift.feature} is unknown in {shift.now[0]:.0%} of rows, was {shift.was[0]:.0%}"
    if shift.measure == "value":
        return f"a decision is worth {shift.now[0]:,.2f} EUR, was {shift.was[0]:,.2f}"
    return f"{shift.feature} is distributed otherwise (PSI {shift.effect:.2f}, KS {shift.ks or 0:.2f})"
