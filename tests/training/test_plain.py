import dataclasses

import numpy as np
import pytest

from factory.errors import TrainingError
from factory.features.samples import Samples
from factory.line.recipe import SequenceRecipe
from factory.model.reference_answers import ReferenceAnswers
from factory.model.session import OnnxSession
from factory.model.signature import Signature
from factory.tasks import Binary, Multiclass, Regression
from factory.training.plain import fit_plain
from factory.training.plain_export import plain_onnx
from tests.training.builders import SMALL, TASK, average_precision, rows, with_label

RUNGS = ("linear", "trees")
CLASSES = ("low", "middle", "high", "never")
TASKS = {
    "binary": (Binary(), lambda wave: wave > 0.5),
    "multiclass": (Multiclass(classes=CLASSES), lambda wave: np.digitize(wave, [-0.5, 0.8])),
    "regression": (Regression(minimum=-2, maximum=4), lambda wave: wave),
}


def table(label_of, count, seed):
    """Return rows with unknown values, a feature of which nothing is known, and one that says nothing."""
    features = rows(count=count, seed=seed, features=5).features.copy()
    features[:, 4] = np.nan
    wave = np.nan_to_num(features[:, 0]) + np.nan_to_num(features[:, 1]) ** 2 / 2
    return Samples(features=features, label=np.asarray(label_of(wave), np.float32), site=np.full(count, "A"))


def fitted(rung, kind="binary", count=400):
    task, label_of = TASKS[kind]
    return fit_plain(rung, table(label_of, count, 1), table(label_of, count // 2, 2), SMALL, task)


def signature(task, features=5):
    return Signature(task=task.kind, features=tuple("abcdefgh"[:features]), output=task.output, answers=task.answers)


def awkward_rows():
    features = table(lambda wave: wave, 300, 77).features.copy()
    features[:4] = [[np.nan] * 5, [np.inf] * 5, [-np.inf] * 5, [1e30, -1e30, 0, np.nan, 1]]
    return features


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("rung", RUNGS)
def test_the_file_answers_as_the_model_on_awkward_rows_and_the_same_rows_give_the_same_bytes(rung, kind):
    task, _ = TASKS[kind]
    fit = fitted(rung, kind)
    answers = fit.model.answers(awkward_rows())
    assert (answers.shape, answers.dtype) == ((300, len(task.answers)), np.float32)
    assert np.isfinite(answers).all()
    content = plain_onnx(fit.model, signature(task))
    OnnxSession(content).require(signature(task))
    assert ReferenceAnswers(rows=awkward_rows(), answers=answers).parity_error(content) < 1e-5
    assert plain_onnx(fitted(rung, kind).model, signature(task)) == content


def test_whole_numbers_at_a_split_fall_on_the_same_side_in_the_file():
    task = Regression()
    chance = np.random.default_rng(5)
    grid = chance.integers(2**24 - 9, 2**24, (600, 3)).astype(np.float32)  # beyond these float32 has no halves
    label = (grid[:, 0] - 2**24 + (grid[:, 1] > 2**24 - 4)).astype(np.float32)
    some = Samples(features=grid, label=label, site=np.full(600, "A"))
    model = fit_plain("trees", some, some, SMALL, task).model
    reference = ReferenceAnswers(rows=grid, answers=model.answers(grid))
    assert reference.parity_error(plain_onnx(model, signature(task, 3))) < 1e-5


@pytest.mark.parametrize("rung", RUNGS)
def test_a_plain_rung_learns_the_rule_and_is_judged_by_answers_from_before_it_saw_the_rows(train, rung):
    held_out = rows(count=1000, seed=98)
    fit = fit_plain(rung, train, held_out, SMALL, TASK)
    test = rows(count=2000, seed=99)
    assert average_precision(fit.model.answers(test.features)[:, 0], test.label) > test.label.mean() + 0.2
    before = TASK.row_losses(held_out.label, fit.on_validation).mean()
    after = TASK.row_losses(held_out.label, fit.model.answers(held_out.features)).mean()
    assert after < before  # the model that is served has learnt from them


def test_labels_that_teach_nothing_are_not_learnt():
    noise = np.random.default_rng(3).random(600) < 0.5
    held_out = with_label(rows(count=600, seed=5), np.random.default_rng(4).random(600) < 0.5)
    fit = fit_plain("trees", with_label(rows(), noise), held_out, SMALL, TASK)
    assert TASK.row_losses(held_out.label, fit.on_validation).mean() < 0.71  # a coin's is 0.693


def test_a_class_that_training_never_saw_is_unlikely_and_not_impossible():
    answers = fitted("trees", "multiclass").model.answers(awkward_rows())
    assert (answers[:, CLASSES.index("never")] > 0).all()
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("rung", RUNGS)
def test_intervals_of_estimates_hold_the_promised_share_of_new_rows(rung):
    task, label_of = TASKS["regression"]
    test = table(label_of, 2000, 9)
    noisy = dataclasses.replace(test, label=test.label + np.random.default_rng(1).normal(0, 0.3, 2000))

    def with_noise(some, seed):
        return dataclasses.replace(
            some, label=(some.label + np.random.default_rng(seed).normal(0, 0.3, len(some))).astype(np.float32)
        )

    fit = fit_plain(rung, with_noise(table(label_of, 1500, 1), 2), with_noise(table(label_of, 800, 2), 3), SMALL, task)
    assert 0.86 < task.figures(noisy.label, fit.model.answers(test.features))["coverage"] < 0.95


@pytest.mark.parametrize("rung", RUNGS)
def test_a_feature_of_which_nothing_is_known_says_nothing(rung):
    moved = awkward_rows()
    moved[:, 4] = 1e6
    model = fitted(rung).model
    np.testing.assert_array_equal(model.answers(awkward_rows()), model.answers(moved))


def towns(count, seed):
    """Return rows whose label is of the town, whose numbers say nothing: even ones say yes."""
    chance = np.random.default_rng(seed)
    town = chance.integers(0, 40, count).astype(np.float32)
    label = (chance.random(count) < np.where(town % 2 == 0, 0.9, 0.1)).astype(np.float32)
    features = np.stack([chance.normal(size=count).astype(np.float32), town], axis=1)
    features[::50, 1] = np.nan
    return Samples(features=features, label=label, site=np.full(count, "A"), columns=("size", "town"))


def test_a_linear_model_tells_categories_apart_and_takes_their_numbers_for_names():
    recipe = dataclasses.replace(SMALL, category_columns=("town",))
    test = towns(2000, 3)
    losses = []
    for some in (recipe, SMALL):
        model = fit_plain("linear", towns(2000, 1), towns(500, 2), some, TASK).model
        losses.append(TASK.row_losses(test.label, model.answers(test.features)).mean())
    assert losses[0] < 0.4
    assert losses[1] > 0.6


def test_the_file_tells_categories_apart_as_the_model_does_the_commonest_of_them_and_takes_any_number():
    recipe = dataclasses.replace(SMALL, category_columns=("size", "town"))
    chance = np.random.default_rng(1)
    many = towns(4000, 1)
    many.features[:, 0] = np.floor(chance.exponential(300.0, len(many)))  # some 1,500 codes, most of them rare
    model = fit_plain("linear", many, towns(500, 2), recipe, TASK).model
    assert len(model.prepared.code) == 256
    assert {float(code) for code in model.prepared.code[model.prepared.category == 1]} == set(range(40))
    odd = np.array([[np.nan, np.nan], [np.inf, -1.0], [-np.inf, 1e30], [0.5, 39.5], [3.0, 7.0]], np.float32)
    content = plain_onnx(model, signature(TASK, 2))
    for asked in (many.features, odd):
        answers = model.answers(asked)
        assert np.isfinite(answers).all()
        assert ReferenceAnswers(rows=asked, answers=answers).parity_error(content) < 1e-5


def test_one_class_is_refused(train):
    with pytest.raises(TrainingError, match="all 600 labels are 1"):
        fit_plain("trees", with_label(rows(), np.ones(600)), train, SMALL, TASK)


def machines(count, *, seed, steps=12):
    """Return windows of machines that fly in three conditions, and how worn each is at its window's end."""
    chance = np.random.default_rng(seed)
    worn = chance.uniform(0, 10, count)
    altitude = chance.choice([0.0, 20.0, 40.0], (count, steps)) + chance.normal(0, 0.01, (count, steps))
    wear = worn[:, None] + np.arange(steps) * 0.1 + chance.normal(0, 1.0, (count, steps))
    features = np.stack([altitude, wear + 3.0 * np.round(altitude / 20.0) ** 2], -1).astype(np.float32)
    return Samples(
        features=features,
        label=worn.astype(np.float32),
        site=np.full(count, "A"),
        columns=("altitude", "heat"),
    )


def test_trees_of_sequences_know_the_operating_conditions_that_the_network_knows():
    task, train, test = Regression(), machines(600, seed=1), machines(400, seed=2)
    errors = [
        task.headline_of(
            test.label, fit_plain("trees", train, machines(300, seed=3), recipe, task).model.answers(test.features)
        )
        for recipe in (SequenceRecipe(window=12, condition_columns=("altitude",)), SequenceRecipe(window=12))
    ]
    assert errors[0] < 0.7 * errors[1]


def with_gaps(samples):
    """Return windows with gaps, of machines that began within them, and of some that were silent at the end."""
    features = samples.features.copy()
    features[np.random.default_rng(3).random(features.shape) < 0.1] = np.nan
    features[:40, :-3] = np.nan
    features[40:60, -1] = np.nan
    return dataclasses.replace(samples, features=features)


def never_seen(steps):
    """Return windows of nothing, of infinities, and of values that no sensor has."""
    features = np.zeros((5, steps, 2), np.float32)
    features[:3] = [[[np.nan, np.nan]], [[np.inf, -np.inf]], [[np.nan, 1e30]]]
    features[3, 0], features[4, -1] = np.inf, [1e30, -1e30]
    return features


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("columns", [("altitude",), ()])
@pytest.mark.parametrize("steps", [1, 7, 12])
def test_the_file_of_a_sequence_answers_as_the_model_to_every_window(rung, columns, steps):
    task, recipe = Regression(minimum=0), SequenceRecipe(window=steps, condition_columns=columns)
    train, validation = with_gaps(machines(500, seed=1, steps=steps)), machines(200, seed=2, steps=steps)
    model = fit_plain(rung, train, validation, recipe, task).model
    assert not columns or len(model.conditions.centre) == 3
    content = plain_onnx(model, sequence_signature(task, steps))
    for windows in (train.features, never_seen(steps)):  # of the first some lie where the trees split
        answers = model.answers(windows)
        assert np.isfinite(answers).all()
        assert ReferenceAnswers(rows=windows, answers=answers).parity_error(content) < 1e-5


def sequence_signature(task, steps):
    return Signature(
        task=task.kind, features=("altitude", "heat"), output=task.output, answers=task.answers, steps=steps
    )
