"""Choices among classes: figures agree with scikit-learn's, and what is not sure enough goes to a person."""

import math

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from factory.errors import LineError, TrainingError
from factory.tasks import Multiclass
from factory.tasks.multiclass import MulticlassValue
from factory.tasks.multiclass.value import NEVER, best_threshold, row_values_eur

TASK = Multiclass(classes=("ale", "lager", "stout"))
MONEY = MulticlassValue(right_eur=2.0, wrong_eur=-10.0)


def sample(rows=300, seed=0, sharpness=2.0):
    chance = np.random.default_rng(seed)
    label = chance.integers(0, 3, rows)
    logits = chance.normal(size=(rows, 3)) + sharpness * np.eye(3)[label]
    answer = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return label.astype(np.float32), answer.astype(np.float32)


@given(st.integers(3, 80), st.integers(0, 50))
def test_figures_are_scikit_learns(rows, seed):
    label, answer = sample(rows, seed)
    figures = TASK.figures(label, answer)
    said = answer.argmax(1)
    exact = answer.astype(np.float64) / answer.astype(np.float64).sum(1, keepdims=True)
    assert figures["log_loss"] == pytest.approx(oracle.log_loss(label, exact, labels=[0, 1, 2]), rel=1e-4)
    assert figures["accuracy"] == pytest.approx(oracle.accuracy_score(label, said))
    there = np.unique(label)
    expected = oracle.f1_score(label, said, labels=there, average="macro", zero_division=0)
    assert figures["macro_f1"] == pytest.approx(expected)


def test_a_perfectly_sure_and_right_answer_has_no_loss_and_a_wrong_one_a_finite_loss():
    assert TASK.figures(np.zeros(1), np.array([[1.0, 0, 0]]))["log_loss"] == 0
    assert math.isfinite(TASK.figures(np.ones(1), np.array([[1.0, 0, 0]]))["log_loss"])


def test_what_is_below_the_threshold_goes_to_a_person_and_costs_nothing():
    label, answer = np.array([0.0, 1.0, 2.0]), np.array([[0.9, 0.1, 0.0], [0.6, 0.3, 0.1], [0.4, 0.3, 0.3]])
    np.testing.assert_array_equal(row_values_eur(label, answer, 0.5, MONEY), [2.0, -10.0, 0.0])


@given(st.integers(0, 30))
def test_no_threshold_earns_more_on_the_window_than_the_chosen_one(seed):
    label, answer = sample(300, seed)
    chosen = row_values_eur(label, answer, best_threshold(label, answer, MONEY), MONEY).sum()
    tried = [*np.unique(answer.max(1)).astype(float), NEVER]
    assert chosen == pytest.approx(max(row_values_eur(label, answer, one, MONEY).sum() for one in tried))


def test_a_small_window_leaves_the_threshold_to_the_money():
    assert best_threshold(*sample(50), MONEY) == pytest.approx(10 / 12)


def test_labels_are_places_of_classes_and_unknown_ones_are_told():
    codes = TASK.codes(pl.Series(["stout", None, "ale"]))
    assert (codes[0], codes[2]) == (2.0, 0.0)
    assert np.isnan(codes[1])
    with pytest.raises(TrainingError, match=r"\['cider'\], which are not among the line's classes"):
        TASK.codes(pl.Series(["ale", "cider"]))


def test_one_class_teaches_nothing_and_is_named():
    assert TASK.flaw(np.ones(9)) == "all 9 labels are 'lager'"


@pytest.mark.parametrize("classes", [("a",), ("a", "a"), ()])
def test_classes_that_cannot_be_told_apart_are_a_line_error(classes):
    with pytest.raises(LineError, match="task: classes"):
        Multiclass(classes=classes)


@pytest.mark.parametrize("wrong", [{"right_eur": 0.0}, {"wrong_eur": 1.0}, {"wrong_eur": math.inf}])
def test_money_that_makes_no_sense_is_a_line_error(wrong):
    with pytest.raises(LineError, match="value: "):
        MulticlassValue(**{"right_eur": 1.0, "wrong_eur": -1.0, **wrong})


def test_one_temperature_makes_an_overconfident_model_honest():
    label, answer = sample(5000, sharpness=1.0)
    boastful = 4 * np.log(answer.astype(np.float64))
    head = TASK.new_head()
    head.calibrate(boastful, label)
    calm = head(torch.from_numpy(boastful).float()).numpy()
    before = TASK.figures(label, torch.softmax(torch.from_numpy(boastful), 1).numpy())
    after = TASK.figures(label, calm)
    assert after["calibration_error"] < 0.05 < before["calibration_error"]
    assert after["accuracy"] == before["accuracy"]


def test_a_member_learns_from_its_own_loss():
    head = TASK.new_head()
    outputs, label = torch.randn(4, 2, 3), torch.tensor([0.0, 1.0, 2.0, 0.0])
    each = torch.nn.functional.cross_entropy
    expected = (
        each(outputs[:, 0], label.long(), reduction="none") + each(outputs[:, 1], label.long(), reduction="none")
    ) / 2
    torch.testing.assert_close(head.loss(outputs, label), expected)
