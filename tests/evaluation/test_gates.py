"""Gates: every reason with what was found and what is needed, every figure, and no exception for poor evidence."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from factory.errors import LineError, MeasuredOtherwise
from factory.evaluation.evidence import Evidence
from factory.evaluation.gates import GATES, judge, what_if
from factory.line.gates import AgainstConstant, Comparison, Gates
from factory.model.check import Check
from factory.model.verdict import Verdict
from factory.tasks import Binary
from factory.tasks.binary import BinaryValue
from factory.tasks.binary.figures import average_precision, roc_auc
from factory.tasks.binary.value import value_eur
from factory.tasks.holdout import Scored
from factory.tasks.intervals import Blocks

MONEY = BinaryValue(caught_eur=-40.0, missed_eur=-200.0, false_alarm_eur=-30.0)
BAR = Gates(
    min_rows=500,
    min_contract_share=0.95,
    at_least={"positives": 50, "average_precision": 0.4, "value_eur": 1.0},
    against_baseline=Comparison(min_probability=0.5),
    against_champion=Comparison(min_probability=0.5),
)
OURS, OTHER = "a" * 64, "b" * 64


def holdout(rows=1000, share=0.3, seed=0):
    return (np.random.default_rng(seed).random(rows) < share).astype(np.float32)


def model(label, signal, seed=1, **changes):
    noise = np.random.default_rng(seed).random(len(label))
    answer = (signal * label + (1 - signal) * noise).astype(np.float32)[:, None]
    scored = Scored(answer=answer, threshold=0.4)
    return dataclasses.replace(scored, **changes)


def evidence(rows=1000, **changes):
    label = changes.pop("label", holdout(rows))
    facts = {
        "line": "brewing",
        "site": "north",
        "digest": OURS,
        "task": Binary(),
        "constant_before": 0.0,
        "label": label,
        "blocks": Blocks.rows(len(label)),
        "candidate": model(label, 0.4),
        "base": model(label, 0.3),
        "baseline": model(label, 0.2),
        "champion": None,
        "value": MONEY,
        "contract_share": 0.99,
        "training_rows": 4000,
        "fine_tuned": True,
        "parity_error": 1e-6,
        "latency_ms": 0.4,
        "latency_provider": "CPUExecutionProvider",
        "size_mb": 1.5,
    }
    return Evidence(**{**facts, **changes})


def reasons(changed=None, bar=BAR):
    return judge(changed or evidence(), bar).reasons


def test_a_good_candidate_passes_without_reasons_and_the_verdict_is_about_its_digest():
    verdict = judge(evidence(), BAR)
    assert verdict.passed
    assert verdict.reasons == ()
    assert (verdict.line, verdict.site, verdict.digest) == ("brewing", "north", OURS)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"rows": 499}, "scored on 499 rows, needs 500"),
        ({"contract_share": 0.9}, "contract share is 0.9, needs 0.95"),
        ({"contract_share": 0.94999999}, "contract share is 0.94999999, needs 0.95"),
        ({"contract_failures": ("too few rows",)}, "contract broken by whole tables: too few rows; needs none broken"),
        ({"parity_error": 0.01}, "parity error is 0.01, limit 0.0001"),
        ({"parity_error": math.nan}, "parity error could not be measured, limit 0.0001"),
        ({"latency_ms": 9.0}, "latency in ms is 9, limit 5"),
        ({"size_mb": 21.0}, "size in MB is 21, limit 20"),
        ({"size_mb": math.inf}, "size in MB could not be measured, limit 20"),
        ({"contract_share": math.nan}, "contract share could not be measured, needs 0.95"),
    ],
)
def test_each_gate_refuses_with_the_value_found_and_the_limit(changed, reason):
    assert reasons(evidence(**changed)) == (reason,)


def test_too_few_positives_are_refused_with_their_number():
    label = np.r_[np.ones(49), np.zeros(951)].astype(np.float32)
    assert "positives is 49, needs 50" in reasons(evidence(label=label))


def test_too_little_money_is_refused_in_euros():
    verdict = judge(evidence(), dataclasses.replace(BAR, at_least={"value_eur": 1e6}))
    assert verdict.reasons == (f"value in EUR is {verdict.figures['value_eur']:.4g}, needs 1e+06",)


def test_a_limit_that_is_just_met_is_met():
    rows = evidence()
    figures = judge(rows, BAR).figures
    exact = dataclasses.replace(
        BAR,
        min_rows=figures["rows"],
        min_contract_share=figures["contract_share"],
        at_least={name: figures[name] for name in ("positives", "average_precision", "value_eur")},
        at_most={name: figures[name] for name in ("log_loss", "calibration_error")},
        max_parity_error=figures["parity_error"],
        max_latency_ms=figures["latency_ms"],
        max_size_mb=figures["size_mb"],
    )
    assert judge(rows, exact).passed


def test_precision_below_the_bar_is_refused_with_both_figures():
    bar = dataclasses.replace(BAR, at_least={"average_precision": 0.999})
    found = judge(evidence(), bar)
    assert found.reasons == (f"average precision is {found.figures['average_precision']:.4g}, needs 0.999",)


def test_every_reason_is_given_not_the_first():
    label = holdout(40, share=0.1)
    poor = evidence(
        label=label,
        candidate=model(label, 0.0, threshold=0.0),
        baseline=model(label, 0.9),
        contract_share=0.5,
        contract_failures=("no rows on Mondays",),
        parity_error=1.0,
        latency_ms=50.0,
        size_mb=500.0,
    )
    found = reasons(poor)
    assert len(found) == 13
    for word in (
        "rows",
        "positives",
        "contract share",
        "Mondays",
        "precision",
        "baseline",
        "value in EUR",
        "parity",
        "latency",
        "size",
    ):
        assert any(word in reason for reason in found), word


@pytest.mark.parametrize("label", [np.zeros(600), np.ones(600)])
def test_a_holdout_of_one_class_is_refused_by_name_and_raises_nothing(label):
    found = reasons(evidence(label=label.astype(np.float32)))
    assert f"holdout has one class only, {int(label.sum())} positives in 600 rows, needs both" in found
    assert "average precision could not be measured, needs 0.4" in found


def test_thirty_two_rows_are_refused_with_their_number():
    assert "scored on 32 rows, needs 500" in reasons(evidence(rows=32))


def test_no_rows_are_refused_and_raise_nothing():
    verdict = judge(evidence(rows=0), BAR)
    assert "scored on 0 rows, needs 500" in verdict.reasons
    assert verdict.figures["value_per_decision_eur"] is None
    assert verdict.figures["average_precision"] is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, 1.5])
def test_an_answer_that_is_no_probability_is_refused(bad):
    label = holdout()
    probability = model(label, 0.4).answer.copy()
    probability[7] = bad
    found = reasons(evidence(label=label, candidate=model(label, 0.4, answer=probability)))
    assert "1 of 1000 answers are not between 0 and 1, needs 0 such" in found


def test_a_candidate_no_better_than_the_baseline_is_refused():
    label = holdout()
    same = model(label, 0.4)
    (reason,) = reasons(evidence(label=label, candidate=same, baseline=same))
    assert "better than the baseline by more than 0 with probability 0.0%, needs 50.0%" in reason


def test_where_the_baseline_is_a_rung_of_the_ladder_the_holdout_tells_and_does_not_choose():
    label = holdout()
    better = evidence(
        label=label, candidate=model(label, 0.4), baseline=model(label, 0.6), rung="network", rungs={"trees": {}}
    )
    verdict = judge(better, BAR)
    assert verdict.passed
    told = "better than the baseline by more than 0 with probability 0.0%, needs 5.0%"
    assert told in verdict.figures["would_refuse"]
    assert not judge(dataclasses.replace(better, rungs={"network": {}}), BAR).passed


def test_where_the_holdout_does_not_surely_contradict_the_choice_of_a_rung_nothing_warns():
    label = holdout(700)
    close = evidence(
        label=label, candidate=model(label, 0.30, seed=1), baseline=model(label, 0.28, seed=2), rungs={"trees": {}}
    )
    strict = dataclasses.replace(BAR, against_baseline=Comparison(min_probability=0.99))
    verdict = judge(close, strict)
    assert verdict.figures["probability_better_than_baseline"] < 0.99
    (told,) = (check for check in verdict.checks if check.code == "better_than_baseline")
    assert (told.kept, told.mode) == (True, "dry_run")
    assert verdict.figures["would_refuse"] is None


def test_the_baseline_itself_is_not_compared_with_itself():
    label = holdout()
    same = model(label, 0.4, digest=OURS)
    verdict = judge(evidence(label=label, candidate=same, baseline=same, rung="trees", rungs={"trees": {}}), BAR)
    assert verdict.passed
    assert not [check for check in verdict.checks if check.code == "better_than_baseline"]


def test_every_rung_is_in_the_figures_with_what_it_is_worth_and_costs():
    rungs = {"trees": {"training_s": 2.0, "cost_eur": 0.1}, "tuned network": {"training_s": 30.0, "cost_eur": 1.5}}
    figures = judge(evidence(rung="tuned network", rungs=rungs), BAR).figures
    assert figures["rungs"] == "trees, tuned network"
    assert (figures["rung"], figures["trees_training_s"], figures["tuned_network_cost_eur"]) == (
        "tuned network",
        2.0,
        1.5,
    )


@pytest.mark.parametrize("baseline", [None, "nan"])
def test_a_baseline_that_is_missing_cannot_have_been_beaten(baseline):
    label = holdout()
    missing = None if baseline is None else model(label, 0.2, answer=np.full((len(label), 1), np.nan, np.float32))
    (reason,) = reasons(evidence(label=label, baseline=missing))
    assert reason == "could not be compared with the baseline, needs to be better with probability 50.0%"


def test_the_certainty_that_is_asked_for_decides():
    label = holdout(700)
    close = evidence(label=label, candidate=model(label, 0.30, seed=1), baseline=model(label, 0.28, seed=2))
    share = judge(close, BAR).figures["probability_better_than_baseline"]
    assert 0.05 < share < 0.95
    lenient = dataclasses.replace(BAR, against_baseline=Comparison(min_probability=share))
    strict = dataclasses.replace(BAR, against_baseline=Comparison(min_probability=share + 0.01))
    assert judge(close, lenient).passed
    assert not judge(close, strict).passed


def test_a_margin_that_must_be_exceeded_counts():
    margin, label = Comparison(min_absolute_change=0.9, min_probability=0.5), holdout()
    (reason,) = reasons(
        evidence(label=label, baseline=model(label, 0.35)), bar=dataclasses.replace(BAR, against_baseline=margin)
    )
    assert "by more than 0.9 with probability 0.0%" in reason


def in_mode(mode, **bars):
    """The bar, with both comparisons in a mode."""
    return dataclasses.replace(BAR, **{name: Comparison(mode=mode, **told) for name, told in bars.items()})


def poor():
    """A candidate that is worse than the baseline and the champion, and earns less than the champion."""
    label = holdout()
    rivals = {"baseline": model(label, 0.6), "champion": model(label, 0.6, digest=OTHER)}
    return evidence(label=label, candidate=model(label, 0.3), **rivals)


BOTH = {"against_baseline": {}, "against_champion": {}}


def test_a_dry_run_refuses_nothing_and_tells_what_it_would_have_refused_word_for_word():
    refused, dry = judge(poor(), in_mode("enabled", **BOTH)), judge(poor(), in_mode("dry_run", **BOTH))
    assert len(refused.reasons) == 3
    assert refused.figures["would_refuse"] is None
    assert dry.passed
    assert dry.figures["would_refuse"] == "; ".join(refused.reasons)
    assert {**dry.figures, "would_refuse": None} == refused.figures


def test_a_disabled_comparison_is_neither_made_nor_told_of_and_the_rivals_own_figures_stay():
    verdict = judge(poor(), in_mode("disabled", **BOTH))
    assert verdict.passed
    assert verdict.figures["would_refuse"] is None
    assert verdict.figures["compared_with_champion"] is False
    compared = [name for name in verdict.figures if name.startswith(("probability_", "change_vs_"))]
    assert {verdict.figures[name] for name in compared if "constant" not in name} == {None}
    assert verdict.figures["baseline_average_precision"] > verdict.figures["average_precision"]


@pytest.mark.parametrize("mode", ["dry_run", "disabled"])
def test_money_against_the_champion_obeys_the_mode_of_that_comparison_and_not_of_the_baselines(mode):
    label = holdout()
    costly = evidence(label=label, champion=model(label, 0.5, digest=OTHER))
    bars = {"against_champion": {"min_probability": 0.0}}
    (reason,) = judge(costly, in_mode("enabled", **bars)).reasons
    assert reason.startswith("earns ")
    assert judge(costly, in_mode(mode, **bars)).passed
    assert judge(costly, in_mode(mode, against_baseline={})).reasons


@pytest.mark.parametrize("mode", ["dry_run", "disabled"])
def test_no_mode_of_a_comparison_lets_through_what_another_gate_refuses(mode):
    label = holdout(499)
    assert judge(evidence(label=label), in_mode(mode, **BOTH)).reasons == ("scored on 499 rows, needs 500",)


def test_a_mode_that_is_none_is_no_bar():
    with pytest.raises(ValueError, match="mode 'dryrun' is not one of disabled, dry_run, enabled"):
        Comparison(mode="dryrun")


def test_a_candidate_below_the_champion_is_refused_in_precision_and_in_money():
    label = holdout()
    found = reasons(evidence(label=label, candidate=model(label, 0.3), champion=model(label, 0.6, digest=OTHER)))
    assert any("better than the champion" in reason for reason in found)
    assert any(reason.startswith("earns") and "champion" in reason for reason in found)


def test_a_loss_of_money_within_chance_is_not_refused():
    label = holdout()
    ours = model(label, 0.4)
    flipped = ours.answer.copy()
    flipped[np.flatnonzero(label == 0)[:1]] = 0.0
    verdict = judge(
        evidence(label=label, candidate=ours, champion=model(label, 0.4, answer=flipped, digest=OTHER)), BAR
    )
    assert not any(reason.startswith("earns") for reason in verdict.reasons)
    assert verdict.figures["probability_earns_less_than_champion"] <= 0.95


def above_constant(label, alarm):
    """What decisions are worth above never and above always raising an alarm, whichever is less."""
    return value_eur(label, alarm, MONEY) - max(0.0, value_eur(label, np.ones(len(label), np.bool_), MONEY))


def test_each_model_earns_by_its_own_threshold():
    label = holdout()
    careful = model(label, 0.4, threshold=0.9, digest=OTHER)
    figures = judge(evidence(label=label, champion=careful), BAR).figures
    assert figures["champion_value_eur"] == above_constant(label, careful.answer[:, 0] >= 0.9)
    assert figures["value_eur"] == above_constant(label, model(label, 0.4).answer[:, 0] >= 0.4)


def test_a_candidate_is_not_compared_with_itself_and_the_figures_say_so():
    label = holdout()
    verdict = judge(evidence(label=label, champion=model(label, 0.4, digest=OURS)), BAR)
    assert verdict.passed
    assert verdict.figures["compared_with_champion"] is False
    assert verdict.figures["probability_better_than_champion"] is None
    assert verdict.figures["champion_average_precision"] == verdict.figures["average_precision"]


def test_the_same_answers_under_another_digest_are_compared():
    label = holdout()
    verdict = judge(evidence(label=label, champion=model(label, 0.4, digest=OTHER)), BAR)
    assert verdict.figures["compared_with_champion"] is True
    assert not verdict.passed


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_what_a_champion_answers_to_rows_it_learnt_from_changes_nothing(seed, share):
    label, chance = holdout(), np.random.default_rng(seed)
    new = chance.random(len(label)) < share
    champion = model(label, 0.3, digest=OTHER)
    by_heart = np.where(new[:, None], champion.answer, label[:, None]).astype(np.float32)
    honest, learnt = (
        judge(evidence(label=label, champion=model(label, 0.3, digest=OTHER, answer=said), new_to_champion=new), BAR)
        for said in (champion.answer, by_heart)
    )
    assert honest.figures == learnt.figures
    assert honest.checks == learnt.checks
    assert honest.figures["rows_new_to_champion"] == new.sum()


def test_a_champion_is_compared_on_rows_that_are_new_to_it_alone():
    label = holdout()
    new = np.arange(1000) % 4 > 0
    champion, ours = model(label, 0.5, digest=OTHER), model(label, 0.4)
    figures = judge(evidence(label=label, candidate=ours, champion=champion, new_to_champion=new), BAR).figures
    theirs, money = champion.answer[new, 0], figures["value_eur_beside_champion"]
    assert figures["champion_average_precision"] == average_precision(label[new], theirs)
    assert figures["champion_value_eur"] == above_constant(label[new], theirs >= champion.threshold)
    assert money == above_constant(label[new], ours.answer[new, 0] >= ours.threshold)
    assert figures["average_precision"] == average_precision(label, ours.answer[:, 0])


@pytest.mark.parametrize("new", [0, 1, 499])
def test_a_champion_that_learnt_from_too_many_rows_is_not_replaced(new):
    label = holdout()
    champion = model(label, 0.1, digest=OTHER)  # however poor
    verdict = judge(evidence(label=label, champion=champion, new_to_champion=np.arange(1000) < new), BAR)
    assert not verdict.passed
    reason = next(reason for reason in verdict.reasons if reason.startswith("the champion learnt from"))
    assert f"learnt from {1000 - new} of the 1000 rows judged, so {new} are left to compare on, needs 500" in reason
    assert judge(evidence(label=label, champion=champion, new_to_champion=np.arange(1000) < 1000), BAR).passed


def test_every_promised_figure_is_there_and_right():
    rows = evidence()
    figures = judge(rows, BAR).figures
    promised = """rows positives average_precision average_precision_low average_precision_high roc_auc log_loss
        calibration_error base_average_precision baseline_average_precision champion_average_precision base_roc_auc
        baseline_roc_auc champion_roc_auc change_vs_baseline probability_better_than_baseline change_vs_champion
        probability_better_than_champion value_eur value_per_decision_eur baseline_value_eur champion_value_eur
        threshold contract_share parity_error latency_ms size_mb fine_tuned"""
    assert set(promised.split()) <= set(figures)
    assert figures["average_precision"] == average_precision(rows.label, rows.candidate.answer[:, 0])
    assert figures["base_roc_auc"] == roc_auc(rows.label, rows.base.answer[:, 0])
    assert figures["average_precision_low"] < figures["average_precision"] < figures["average_precision_high"]
    assert figures["value_per_decision_eur"] == pytest.approx(figures["value_eur"] / 1000)
    assert figures["champion_average_precision"] is None
    assert figures["change_vs_baseline"] == pytest.approx(
        figures["average_precision"] - figures["baseline_average_precision"]
    )


def test_the_same_evidence_gives_the_same_verdict():
    assert judge(evidence(), BAR) == judge(evidence(), BAR)


def test_models_scored_on_other_rows_are_not_evidence():
    label = holdout()
    with pytest.raises(ValueError, match=r"brewing\.north: baseline has answers of shape \(3, 1\)"):
        evidence(label=label, baseline=model(label[:3], 0.2))


def test_an_unknown_label_is_not_evidence():
    label = holdout()
    label[0] = math.nan
    with pytest.raises(ValueError, match="labels must be known"):
        evidence(label=label)


ANYTHING = st.one_of(st.floats(width=32), st.sampled_from([0.0, 0.5, 1.0]))


@st.composite
def any_evidence(draw):
    rows = draw(st.integers(0, 12))
    label = draw(hnp.arrays(np.float32, rows, elements=st.sampled_from([0.0, 1.0])))

    def scores():
        probability = draw(hnp.arrays(np.float32, (rows, 1), elements=ANYTHING))
        return Scored(answer=probability, threshold=draw(st.floats(0, 2)), digest=draw(st.sampled_from([OURS, OTHER])))

    return evidence(
        label=label,
        candidate=scores(),
        base=draw(st.sampled_from([None, scores()])),
        baseline=draw(st.sampled_from([None, scores()])),
        champion=draw(st.sampled_from([None, scores()])),
        contract_share=draw(st.floats()),
        parity_error=draw(st.floats()),
    )


@settings(max_examples=60, deadline=None)
@given(any_evidence())
def test_whatever_the_evidence_there_is_a_verdict_that_json_can_hold(rows):
    verdict = judge(rows, BAR)
    json.dumps(verdict.to_dict(), allow_nan=False)
    assert not verdict.passed  # a dozen rows are never enough
    assert f"scored on {len(rows.label)} rows, needs 500" in verdict.reasons


def test_no_gate_is_left_out_of_the_tuple():
    import factory.evaluation.gates

    public = {
        name
        for name, thing in vars(factory.evaluation.gates).items()
        if callable(thing)
        and getattr(thing, "__module__", "") == "factory.evaluation.gates"
        and name.islower()
        and name[0] != "_"
    }
    assert public - {"judge", "what_if"} == {gate.__name__ for gate in GATES}


def test_a_gates_checks_bear_its_name():
    champion = model(holdout(), 0.3, digest=OTHER)
    half = np.arange(1000) % 2 == 0
    figures = judge(evidence(champion=champion, new_to_champion=half), BAR).figures
    for gate in GATES:
        assert {check.code for check in gate(figures, BAR)} == {gate.__name__}


@settings(max_examples=60, deadline=None)
@given(any_evidence(), st.sampled_from(["disabled", "dry_run", "enabled"]))
def test_a_verdict_says_what_its_checks_say_of_its_own_figures_and_stays_the_same_on_record(rows, mode):
    bar = in_mode(mode, **BOTH)
    verdict = judge(rows, bar)
    assert verdict.passed == all(check.kept for check in verdict.checks if check.mode == "enabled")
    assert all(check.found == verdict.figures[check.figure] for check in verdict.checks)
    kept = Verdict.from_dict(json.loads(json.dumps(verdict.to_dict(), allow_nan=False)))
    assert what_if(kept.figures, bar, rows.task) == kept.checks == verdict.checks


def test_what_is_kept_is_a_check_too():
    found = {(check.code, check.figure): check for check in judge(evidence(), BAR).checks}
    assert all(check.kept for check in found.values())
    assert found["enough_rows", "rows"].found == 1000
    assert found["good_enough", "average_precision"].limit == 0.4
    assert ("better_than_baseline", "probability_better_than_baseline") in found
    assert not [code for code, _ in found if "champion" in code]  # there is none to compare with


def test_what_is_disabled_is_no_check_and_a_dry_run_is_one_in_its_mode():
    dry, off = (judge(poor(), in_mode(mode, **BOTH)).checks for mode in ("dry_run", "disabled"))
    compared = {"better_than_baseline", "better_than_champion", "earns_no_less_than_champion"}
    assert {check.code for check in dry if check.mode == "dry_run"} == compared
    assert not compared & {check.code for check in off}


def test_what_earns_less_cannot_hide_in_answers_that_cannot_be_weighed():
    """What cannot be measured does not pass, here as elsewhere."""
    figures = {**judge(poor(), BAR).figures, "probability_earns_less_than_champion": None}
    (check,) = (one for one in what_if(figures, BAR, Binary()) if one.code == "earns_no_less_than_champion")
    assert check.reason == "could not be compared with the champion in money, limit 95.0%"


def test_other_limits_are_asked_of_the_figures_there_are_as_if_the_candidate_were_judged_anew():
    shown = judge(evidence(), BAR)
    stricter = dataclasses.replace(BAR, min_rows=5000, max_size_mb=1.0, at_most={"log_loss": 0.01})
    stricter = dataclasses.replace(stricter, against_baseline=Comparison(mode="dry_run", min_probability=1.0))
    assert what_if(shown.figures, stricter, Binary()) == judge(evidence(), stricter).checks


def test_a_limit_to_a_figure_that_was_never_measured_is_not_kept():
    bar = dataclasses.replace(BAR, at_least={"average_presicion": 0.1})
    (broken,) = (check for check in what_if(judge(evidence(), BAR).figures, bar, Binary()) if not check.kept)
    assert broken.reason == "average presicion could not be measured, needs 0.1"


@pytest.mark.parametrize("other", ["baseline", "champion"])
def test_another_margin_is_another_measurement_and_must_not_be_guessed(other):
    wider = dataclasses.replace(BAR, **{f"against_{other}": Comparison(min_absolute_change=0.1)})
    figures = judge(poor(), BAR).figures
    with pytest.raises(MeasuredOtherwise, match=f"the comparison with the {other} was measured with the margin 0, "):
        what_if(figures, wider, Binary())
    with pytest.raises(MeasuredOtherwise, match="no margin on record"):
        what_if(judge(poor(), in_mode("disabled", **BOTH)).figures, BAR, Binary())
    before = {name: figure for name, figure in figures.items() if not name.startswith("margin_")}
    with pytest.raises(MeasuredOtherwise, match="no margin on record"):
        what_if(before, BAR, Binary())
    assert what_if(before, in_mode("disabled", **BOTH), Binary())  # it asks for no comparison


def test_only_the_comparisons_depend_on_the_gates_margins():
    wide = {"min_absolute_change": 0.05}
    one = judge(poor(), BAR).figures
    other = judge(poor(), in_mode("enabled", against_baseline=wide, against_champion=wide)).figures
    differ = {name for name in one if one[name] != other[name]}
    names = ("baseline", "champion")
    allowed = {f"{what}_{name}" for name in names for what in ("margin_vs", "probability_better_than")}
    assert {f"margin_vs_{name}" for name in names} <= differ <= allowed


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("min_rows", lambda bad: {"min_rows": bad}),
        ("max_size_mb", lambda bad: {"max_size_mb": bad}),
        ("at_least: positives", lambda bad: {"at_least": {"positives": bad}}),
        ("at_most: log_loss", lambda bad: {"at_most": {"log_loss": bad}}),
    ],
)
def test_a_limit_that_is_no_number_lets_nothing_through_unseen(name, limit, bad):
    with pytest.raises(ValueError, match=f"{name}: {bad} is not a finite number"):
        dataclasses.replace(BAR, **limit(bad))
    with pytest.raises(ValueError, match=f"min_probability: {bad} is not a finite number"):
        Comparison(min_probability=bad)


def rows_of_a_pilot(figures, gates):
    """A gate that no other module knows of."""
    yield Check.at_most(
        "rows", figures["rows"], 2 * gates.min_rows - 1, code="rows_of_a_pilot", reason="more rows than a pilot has"
    )


def test_a_gate_of_ones_own_decides_with_the_others():
    verdict = judge(evidence(), BAR, asked=(*GATES, rows_of_a_pilot))
    assert verdict.reasons == ("more rows than a pilot has",)
    assert judge(evidence(), BAR).passed


# Against what needs no model.


def always(label):
    """A model that says something of every row, and acts on all of them."""
    return model(label, 0.4, threshold=0.0)


def test_a_model_that_acts_on_every_row_is_a_constant_decision_and_is_refused():
    label = holdout(204, share=0.7)
    verdict = judge(evidence(label=label, candidate=always(label)), dataclasses.replace(BAR, min_rows=100))
    assert verdict.figures["share_acted"] == 1.0
    assert verdict.figures["value_eur"] <= 0
    assert any(
        reason.startswith("decides all 204 rows alike: it acts on 100.0% of them, and the base rate is ")
        for reason in verdict.reasons
    )
    assert {check.code for check in verdict.checks if not check.kept} >= {
        "decides_like_a_constant",
        "better_than_constant",
    }


def test_value_is_counted_above_the_best_constant_decision_whichever_that_is():
    for share, constant in ((0.05, "never act"), (0.9, "always act")):
        label = holdout(share=share)
        figures = judge(evidence(label=label), BAR).figures
        assert figures["constant"] == constant
        assert figures["value_eur"] == above_constant(label, model(label, 0.4).answer[:, 0] >= 0.4)
        assert figures["constant_value_eur"] == max(0.0, value_eur(label, np.ones(1000, np.bool_), MONEY))
        assert figures["value_eur_low"] <= figures["value_eur"] <= figures["value_eur_high"]


def test_a_loss_above_the_priors_is_refused_however_much_is_earned():
    label = holdout()
    sure = Scored(answer=np.where(model(label, 0.4).answer > 0.4, 0.9999, 0.0001).astype(np.float32), threshold=0.5)
    verdict = judge(evidence(label=label, candidate=sure), BAR)
    assert verdict.figures["value_eur"] > 0
    assert verdict.figures["loss"] > verdict.figures["constant_loss"]
    assert any("has a loss of" in reason and "the best constant answer of" in reason for reason in verdict.reasons)


def test_rows_of_few_days_are_not_enough_for_what_as_many_alone_are():
    label = holdout(1000)
    days = Blocks(of_row=np.arange(1000) * 3 // 1000, in_time=True, what="days")
    alone, alike = judge(evidence(label=label), BAR), judge(evidence(label=label, blocks=days), BAR)
    assert alone.passed
    assert alike.figures["witnesses"] == 3
    assert "scored on 1000 rows of 3 days, needs 500 days" in alike.reasons
    assert alike.figures["value_eur_high"] is None
    assert any("too few witnesses to tell, 3 days, needs 4" in reason for reason in alike.reasons)


def test_one_witness_measures_nothing_and_does_not_pass():
    label = holdout(1147)
    one = Blocks(of_row=np.zeros(1147, np.int64), in_time=True, what="days")
    verdict = judge(evidence(label=label, blocks=one), dataclasses.replace(BAR, min_rows=1))
    assert not verdict.passed
    assert "could not be measured" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("bar", "says"),
    [
        (AgainstConstant(), None),
        (AgainstConstant(min_probability=0.99), None),
        (AgainstConstant(min_probability=0.8), "with certainty 80.0% only; the usual certainty is 95%"),
        (AgainstConstant(mode="dry_run"), "is only told of by this line"),
        (AgainstConstant(mode="disabled"), "is not asked for by this line"),
    ],
)
def test_a_line_that_asks_for_less_is_told_of_in_its_verdicts(bar, says):
    told = judge(evidence(), dataclasses.replace(BAR, against_constant=bar)).figures["asks_less"]
    assert says in told if says else told is None


def test_a_dry_run_of_the_constant_refuses_nothing_and_disabled_asks_nothing():
    label = holdout()
    bad = evidence(label=label, candidate=always(label), baseline=None, champion=None)
    loose = Gates(
        min_rows=1,
        min_contract_share=0.0,
        against_baseline=Comparison(mode="disabled"),
        against_champion=Comparison(mode="disabled"),
    )
    dry = judge(bad, dataclasses.replace(loose, against_constant=AgainstConstant(mode="dry_run")))
    assert dry.passed
    assert "decides all 1000 rows alike" in dry.figures["would_refuse"]
    off = judge(bad, dataclasses.replace(loose, against_constant=AgainstConstant(mode="disabled")))
    assert off.passed
    assert off.figures["would_refuse"] is None


def test_a_baseline_worse_than_a_constant_is_no_bar_and_is_told():
    label = holdout()
    ranks_well = model(label, 0.9).answer
    useless = Scored(answer=np.where(ranks_well > 0.5, 0.00001, 0.000001).astype(np.float32), threshold=0.5)
    verdict = judge(evidence(label=label, baseline=useless), BAR)
    assert verdict.figures["baseline_beats_constant"] is False
    assert verdict.figures["probability_better_than_baseline"] < 0.05
    assert verdict.passed
    (told,) = (check for check in verdict.checks if check.code == "better_than_baseline")
    assert "which is no bar: its loss is" in told.title


def test_figures_from_before_constants_were_measured_are_not_judged_by_them():
    figures = dict(judge(evidence(), BAR).figures)
    gone = (
        "witnesses",
        "constant",
        "baseline_beats",
        "loss",
        "probability_earns_more",
        "probability_loss",
        "decided_otherwise",
    )
    old = {name: value for name, value in figures.items() if not name.startswith(gone)}
    with pytest.raises(MeasuredOtherwise, match="judge the candidate again"):
        what_if(old, BAR, Binary())
    without = dataclasses.replace(BAR, against_constant=AgainstConstant(mode="disabled"))
    assert all(check.kept for check in what_if(old, without, Binary()))


@pytest.mark.parametrize("share", [0.0, 1.0, 2.0, math.nan])
def test_a_certainty_that_means_nothing_is_refused(share):
    with pytest.raises(LineError, match="min_probability"):
        AgainstConstant(min_probability=share)
