"""Noise is refused and signal is found: made holdouts whose truth is known, judged by what no line can do without."""

import pytest

from factory.evaluation.gates import better_than_constant, decides_like_a_constant, judge
from factory.tasks.binary import BinaryValue
from tests.evaluation.made import GATES, made

ASKED = (better_than_constant, decides_like_a_constant)
STATED = 0.05
"""At most this share of candidates that know nothing may pass."""
JUST_PAYS = BinaryValue(caught_eur=14_850, missed_eur=0, false_alarm_eur=-150)
"""Acting pays from a chance of 1 % on: with that base rate never and always acting are worth the same."""
NOISE = {
    "binary, every row a witness": ("binary", {"blocks": 200}),
    "binary, five days": ("binary", {"blocks": 5, "rows": 20}),
    "binary, thirty days that resemble each other": ("binary", {"blocks": 30, "rows": 10, "likeness": 0.4}),
    "binary, one case in a hundred": ("binary", {"blocks": 30, "rows": 40, "rate": 0.01}),
    "binary, one case in a hundred that just pays": (
        "binary",
        {"blocks": 30, "rows": 40, "rate": 0.01, "value": JUST_PAYS},
    ),
    "binary, the base rate just pays": ("binary", {"blocks": 30, "rows": 10, "rate": 0.25}),
    "multiclass, ten days": ("multiclass", {"blocks": 10, "rows": 20, "rate": 0.33}),
    "multiclass, a rare class": ("multiclass", {"blocks": 100, "rows": 3, "rate": 0.02}),
    "regression, ten things": ("regression", {"blocks": 10, "rows": 20}),
    "regression, heavy tails": ("regression", {"blocks": 30, "rows": 10, "heavy": True}),
}


def released(kind, tables, **how):
    """Return the share of made candidates that pass."""
    verdicts = [judge(made(kind, seed=seed, **how), GATES, asked=ASKED) for seed in range(tables)]
    return sum(verdict.passed for verdict in verdicts) / tables


@pytest.mark.parametrize("case", NOISE)
def test_what_knows_nothing_is_refused(case):
    kind, how = NOISE[case]
    assert released(kind, 20, **how) <= STATED


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_what_knows_enough_is_released_also_where_days_have_effects(kind):
    rate = 0.33 if kind == "multiclass" else 0.3
    assert released(kind, 6, blocks=30, rows=20, likeness=0.3, rate=rate, signal=0.8) >= 5 / 6


@pytest.mark.slow
@pytest.mark.parametrize("case", NOISE)
def test_of_two_hundred_candidates_that_know_nothing_at_most_the_stated_share_passes(case):
    kind, how = NOISE[case]
    assert released(kind, 200, **how) <= STATED


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_more_is_known_the_more_is_released(kind):
    shares = [released(kind, 40, blocks=30, rows=20, rate=0.3, signal=signal) for signal in (0.0, 0.3, 0.6, 0.9)]
    assert shares == sorted(shares)
    assert shares[0] <= STATED
    assert shares[-1] >= 0.95
