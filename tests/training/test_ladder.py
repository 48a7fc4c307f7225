import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.tasks import Binary
from factory.tasks.binary.value import BinaryValue
from factory.training.ladder import BLEND, Cost, Judged, Ladder, Terms

VALUE = BinaryValue(caught_eur=100, missed_eur=0, false_alarm_eur=-40)
CHEAP = Cost(training_s=1.0, serving_s=0.001)


def judged(count, seed, **error):
    """Rows whose chance is known, and models that are off by so much in the log odds, each in its own way."""
    chance = np.random.default_rng(seed)
    odds = chance.normal(-1, 1.5, count)
    label = (chance.random(count) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    answers = {
        name: (1 / (1 + np.exp(-(odds + chance.normal(0, off, count)))))[:, None].astype(np.float32)
        for name, off in error.items()
    }
    return Judged(label=label, answers=answers)


def ladder(own, pooled, costs=None, *, second_eur=0.0, decisions=1000.0):
    terms = Terms(task=Binary(), value=VALUE, decisions=decisions, second_eur=second_eur)
    return Ladder(own, pooled, costs or dict.fromkeys(pooled.answers, CHEAP), terms)


def test_models_that_err_each_in_its_own_way_are_blended_and_the_blend_loses_least():
    choice = ladder(judged(500, 1, trees=1.0, network=1.0), judged(5000, 2, trees=1.0, network=1.0)).choice(
        ["trees", "network"], blend=True
    )
    assert choice.chosen.name == BLEND
    assert choice.chosen.weights == {"trees": 0.5, "network": 0.5}
    assert choice.chosen.loss < min(rung.loss for rung in choice.rungs if rung.name != BLEND)
    assert choice.why.startswith("blend (0.5 trees + 0.5 network): validation loss")


def test_a_model_that_is_far_worse_has_next_to_no_share_in_the_blend():
    own, pooled = (judged(count, count, trees=0.3, network=0.3, linear=5.0) for count in (400, 5000))
    weights = ladder(own, pooled).choice(["linear", "trees", "network"], blend=True).chosen.weights
    assert weights.get("linear", 0.0) <= 0.1


def test_without_a_blend_the_least_loss_is_chosen():
    own, pooled = (judged(count, count, trees=0.3, network=2.0) for count in (400, 5000))
    choice = ladder(own, pooled).choice(["trees", "network"], blend=False)
    assert choice.chosen.name == "trees"
    assert [rung.name for rung in choice.rungs] == ["trees", "network"]


def test_a_site_unlike_the_others_that_has_many_rows_is_judged_by_its_own():
    own, pooled = judged(4000, 1, trees=3.0, network=0.2), judged(5000, 2, trees=0.2, network=3.0)
    assert ladder(own, pooled).choice(["trees", "network"], blend=False).chosen.name == "network"
    few = judged(20, 1, trees=3.0, network=0.2)
    assert ladder(few, pooled).choice(["trees", "network"], blend=False).chosen.name == "trees"


def test_a_site_without_rows_of_its_own_is_judged_by_those_of_all():
    assert (
        ladder(judged(0, 1, trees=0.2, network=3.0), judged(900, 2, trees=0.2, network=3.0))
        .choice(["trees", "network"], blend=False)
        .chosen.name
        == "trees"
    )


COSTS = {"trees": CHEAP, "network": Cost(training_s=3600.0, serving_s=0.01)}


@pytest.mark.parametrize(("hour_eur", "chosen"), [(0.0, "network"), (0.01, "network"), (1e5, "trees")])
def test_a_larger_rung_is_refused_unless_it_earns_its_extra_cost_within_the_horizon(hour_eur, chosen):
    own, pooled = (judged(count, count, trees=0.8, network=0.1) for count in (2000, 5000))
    choice = ladder(own, pooled, COSTS, second_eur=hour_eur / 3600).choice(["trees", "network"], blend=False)
    assert choice.chosen.name == chosen
    if chosen == "trees":
        assert "what the network earns more does not pay for its extra cost of" in choice.why


def test_with_more_decisions_in_the_horizon_the_same_extra_cost_pays():
    own, pooled = (judged(count, count, trees=0.8, network=0.1) for count in (2000, 5000))
    chosen = [
        ladder(own, pooled, COSTS, second_eur=1.0, decisions=decisions).choice(["trees", "network"], blend=False).chosen
        for decisions in (100.0, 100_000.0)
    ]
    assert [rung.name for rung in chosen] == ["trees", "network"]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 60), st.integers(5, 300), st.integers(0, 1000))
def test_any_rows_give_a_choice_whose_weights_add_up(few, many, seed):
    own, pooled = (
        judged(few, seed, linear=1.0, trees=0.5, network=0.5),
        judged(many, seed + 1, linear=1.0, trees=0.5, network=0.5),
    )
    choice = ladder(own, pooled, second_eur=1e-4).choice(["linear", "trees", "network"], blend=True)
    assert abs(sum(choice.chosen.weights.values()) - 1) < 1e-9
    assert {rung.name for rung in choice.rungs} >= {"linear", "trees", "network"}
    assert [rung.cost_eur for rung in choice.rungs] == sorted(rung.cost_eur for rung in choice.rungs)
