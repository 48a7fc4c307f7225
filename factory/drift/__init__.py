"""Whether a site's world has moved away from what its model was trained on, and what that may cost.

    profiles = reference_profiles(rows, columns)     at training; JSON, stored with the model
    shifts = measured(window, columns, profiles)     one window, such as a week: an effect size and a p-value each
    states, alerts = watched(states, shifts, …)      false discoveries controlled, k of n windows, quiet after training

Pure functions: state in, verdict out. Effects are for people to read, p-values keep noise out: both must speak.
"""

from factory.drift.counting import BLOCK, Columns
from factory.drift.measure import Shift, measured
from factory.drift.profile import Profile, reference_profiles
from factory.drift.watch import Alert, Limits, SiteState, Stake, watched

__all__ = [
    "BLOCK",
    "Alert",
    "Columns",
    "Limits",
    "Profile",
    "Shift",
    "SiteState",
    "Stake",
    "measured",
    "reference_profiles",
    "watched",
]
