import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import LineError, TrainingError
from factory.training.loop import train_base
from factory.training.network import rebuilt
from factory.training.predict import joined
from factory.training.schedule import Schedule
from factory.training.weights import to_bytes
from tests.training.builders import (
    SMALL,
    TASK,
    average_precision,
    log_loss,
    pooled,
    probability,
    rows,
    with_label,
)


def digest(trained):
    return hashlib.sha256(to_bytes(trained.weights)).hexdigest()


def run(train, validation, recipe=SMALL, *, checkpoint=None, report=lambda _: None):
    return train_base(train, validation, recipe, task=TASK, device="cpu", checkpoint=checkpoint, report=report)


class Killed(Exception):  # noqa: N818 - a death, not an error of ours
    pass


def kill_after(number):
    def report(epoch):
        if epoch.number == number:
            raise Killed

    return report


def test_the_base_model_learns_the_rule(base):
    test = rows(count=2000, seed=99)
    share = test.label.mean()
    assert average_precision(probability(base.weights, SMALL, test.features), test.label) > share + 0.25
    assert [epoch.number for epoch in base.history] == list(range(1, len(base.history) + 1))


def test_two_trainings_give_the_same_digest(base, train, validation):
    torch.rand(3)
    assert digest(run(train, validation)) == digest(base)


def test_another_seed_gives_another_digest(base, train, validation):
    assert digest(run(train, validation, dataclasses.replace(SMALL, seed=8))) != digest(base)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_killed_training_resumes_to_the_very_same_bytes(epoch, base, train, validation, tmp_path):
    path = tmp_path / "base" / "checkpoint.safetensors"
    with pytest.raises(Killed):
        run(train, validation, checkpoint=path, report=kill_after(epoch))
    reported = []
    resumed = run(train, validation, checkpoint=path, report=reported.append)
    assert reported[0].number == epoch + 1
    assert digest(resumed) == digest(base)
    assert resumed.history == base.history
    assert [file.name for file in path.parent.iterdir()] == [path.name]


BY_STEPS = dataclasses.replace(SMALL, max_steps=60, validate_every=15, patience=3)


@pytest.mark.parametrize("number", [1, 3])
def test_a_killed_training_by_steps_resumes_to_the_very_same_bytes(number, train, validation, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    whole = run(train, validation, BY_STEPS)
    with pytest.raises(Killed):
        run(train, validation, BY_STEPS, checkpoint=path, report=kill_after(number))
    assert digest(run(train, validation, BY_STEPS, checkpoint=path)) == digest(whole)


def test_a_training_by_steps_ends_where_the_validation_rows_ask_whatever_the_number_of_rows(train, validation):
    noise = with_label(validation, np.random.default_rng(1).integers(0, 2, len(validation)))
    for some in (train.where(np.arange(len(train)) < 150), train):
        trained = run(some, noise, dataclasses.replace(BY_STEPS, max_steps=3_000, patience=2))
        losses = [epoch.validation_loss for epoch in trained.history]
        assert len(losses) == trained.best_epoch + 2 < 200
        assert losses[trained.best_epoch - 1] == min(losses)


def test_few_rows_more_do_not_make_a_training_shorter(validation):
    few, more = (rows(count=count, seed=3) for count in (500, 520))
    recipe = dataclasses.replace(BY_STEPS, patience=99)
    assert len(run(few, validation, recipe).history) == len(run(more, validation, recipe).history) == 4


@given(st.integers(1, 700), st.integers(1, 90), st.integers(1, 40), st.integers(1, 12))
def test_rounds_by_steps_go_through_all_rows_again_and_again(row_count, batch_rows, validate_every, rounds):
    recipe = dataclasses.replace(
        SMALL, batch_rows=batch_rows, max_steps=validate_every * rounds, validate_every=validate_every
    )
    schedule = Schedule(recipe=recipe, rows=row_count)
    assert schedule.rounds == rounds
    batches = [batch for number in range(1, rounds + 1) for batch in schedule.batches(number)]
    assert {len(batch) for batch in batches} == {schedule.batch_rows}
    assert len(batches) == recipe.max_steps
    times = np.bincount(torch.cat(batches).numpy(), minlength=row_count)
    assert times.max() - times.min() <= 1


@pytest.mark.parametrize("wrong", [{"max_steps": 0}, {"validate_every": 0}, {"weight_average": 1.0}])
def test_a_schedule_without_a_step_is_refused(wrong):
    with pytest.raises(LineError, match=next(iter(wrong))):
        dataclasses.replace(SMALL, **wrong)


def test_a_finished_training_is_not_trained_again(base, train, validation, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    run(train, validation, checkpoint=path)
    reported = []
    assert digest(run(train, validation, checkpoint=path, report=reported.append)) == digest(base)
    assert not reported


def test_a_checkpoint_of_other_rows_or_another_recipe_or_half_a_one_is_not_resumed(base, train, validation, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    run(with_label(train, 1 - train.label), validation, checkpoint=path)
    assert digest(run(train, validation, checkpoint=path)) == digest(base)
    run(train, validation, dataclasses.replace(SMALL, seed=8), checkpoint=path)
    assert digest(run(train, validation, checkpoint=path)) == digest(base)
    path.write_bytes(path.read_bytes()[:5000])
    assert digest(run(train, validation, checkpoint=path)) == digest(base)


def test_training_stops_when_the_validation_loss_no_longer_falls_and_keeps_the_best(train, validation):
    noise = with_label(validation, np.random.default_rng(1).integers(0, 2, len(validation)))
    trained = run(train, noise, dataclasses.replace(SMALL, epochs=12, patience=2))
    losses = [epoch.validation_loss for epoch in trained.history]
    assert len(losses) == trained.best_epoch + 2 < 12
    assert losses[trained.best_epoch - 1] == min(losses)


def test_calibration_on_the_validation_window_does_not_raise_its_loss(base, validation):
    raw = joined(rebuilt(SMALL, TASK, base.weights), validation.features)[:, 0]
    likely = probability(base.weights, SMALL, validation.features).astype(float)
    assert log_loss(np.log(likely / (1 - likely)), validation.label) <= log_loss(raw, validation.label) + 1e-6


def test_torch_is_left_as_it_was(train, validation):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(train, validation, dataclasses.replace(SMALL, epochs=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(Killed):
        run(train, validation, dataclasses.replace(SMALL, epochs=1), report=kill_after(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


def test_rows_without_a_label_change_nothing(base, train, validation):
    unknown = with_label(rows(count=50, seed=3), np.full(50, np.nan))
    assert digest(run(pooled(train, unknown), validation)) == digest(base)


@pytest.mark.parametrize(
    ("label", "says"),
    [(np.zeros(600), "all 600 labels are 0"), (np.full(600, np.nan), "no row"), (np.full(600, 3.0), "found \\[3.0\\]")],
)
def test_labels_that_teach_nothing_are_refused_by_name(label, says, validation):
    with pytest.raises(TrainingError, match=f"training window cannot train a model: .*{says}"):
        run(with_label(rows(), label), validation)


def test_importing_the_recipe_imports_no_torch():
    import subprocess
    import sys

    code = "import sys, factory.line.recipe, factory.features.samples; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.gpu
def test_on_a_gpu_training_is_reproducible_and_as_good_as_on_the_cpu(base, train, validation):
    runs = [
        train_base(train, validation, SMALL, task=TASK, device="cuda", checkpoint=None, report=lambda _: None)
        for _ in range(2)
    ]
    assert digest(runs[0]) == digest(runs[1])
    test = rows(count=2000, seed=99)
    scores = [
        average_precision(probability(trained.weights, SMALL, test.features), test.label) for trained in (base, runs[0])
    ]
    assert scores[1] == pytest.approx(scores[0], abs=0.03)
