"""Importance and slices: what decides comes first, cost is bounded, histories stay whole, weak spots are named."""

import numpy as np

from factory.reports.importance import MAX_ANSWERS, MOST_COLUMNS, REPEATS, importances
from factory.reports.slices import MIN_ROWS, slices, worst
from factory.tasks import Regression
from factory.tasks.holdout import Holdout, Scored
from factory.tasks.intervals import Blocks
from tests.reports.builders import COLUMNS, TASKS, VALUES, answer, features, labels


def cut(task, label, said, seen, columns):
    """The slices of a holdout whose rows are witnesses of their own."""
    models, blocks = {"candidate": Scored(answer=said, threshold=0.5)}, Blocks.rows(len(label))
    judged = Holdout(task=task, label=label, blocks=blocks, models=models, value=VALUES[task.kind])
    return slices(judged, seen, columns)


def test_the_column_that_decides_matters_and_one_that_nobody_reads_does_not():
    for task in TASKS.values():
        seen = features(600)
        found = importances(task, lambda some, task=task: answer(task, some), seen, labels(task, seen), COLUMNS)
        by_name = {one.column: one for one in found}
        assert found[0].column == "torque"
        assert 0 < by_name["torque"].least <= by_name["torque"].worsens <= by_name["torque"].most
        assert by_name["idle_column"].worsens == 0


def test_a_large_holdout_costs_no_more_than_was_agreed():
    answered = []

    def counting(some):
        answered.append(len(some))
        return answer(TASKS["binary"], some)

    seen = features(50_000)
    importances(TASKS["binary"], counting, seen, labels(TASKS["binary"], seen), COLUMNS)
    looked_at = MAX_ANSWERS // (len(COLUMNS) * REPEATS)
    assert MAX_ANSWERS / 2 < sum(answered) <= MAX_ANSWERS + looked_at


def test_of_many_columns_the_best_twelve_are_told_and_the_cost_is_the_same():
    answered, columns = [], tuple(f"column_{place}" for place in range(60))
    seen = np.random.default_rng(2).normal(size=(5000, len(columns))).astype(np.float32)
    label = (seen[:, 17] + 2 * seen[:, 41]).astype(np.float32)

    def reading_two(some):
        answered.append(len(some))
        return np.repeat((some[:, 17] + 2 * some[:, 41])[:, None], 3, 1)

    found = importances(Regression(), reading_two, seen, label, columns)
    assert [one.column for one in found[:2]] == ["column_41", "column_17"]
    assert len(found) == MOST_COLUMNS
    assert sum(answered) <= MAX_ANSWERS * 1.1


def test_a_sequence_keeps_its_history_when_a_column_is_shuffled():
    rows, steps = 80, 5
    seen = np.repeat(np.arange(rows, dtype=np.float32)[:, None, None], steps, 1) * np.ones((1, 1, 2), np.float32)
    shuffled = []

    def watching(some):
        shuffled.append(some)
        return np.repeat(some[:, -1, :1], 3, 1)

    importances(Regression(), watching, seen, np.arange(rows, dtype=np.float32), ("a", "b"))
    for some in shuffled:
        assert (some == some[:, :1, :]).all()  # every history is one row's own
        assert set(some[:, 0, 0]) == set(range(rows))


def test_the_worst_slice_is_named_with_its_rows():
    task, rows = Regression(), 400
    seen = np.zeros((rows, 1), np.float32)
    seen[:100] = 1
    label = np.random.default_rng(1).normal(size=rows).astype(np.float32)
    said = np.stack([label + 3 * seen[:, 0], label - 1, label + 1], 1).astype(np.float32)
    found = cut(task, label, said, seen, [("hot", 0)])
    assert [(one.where, one.rows, round(one.headline, 3)) for one in found] == [("0", 300, 0.0), ("1", 100, 3.0)]
    assert worst(task, found, 1.5) == "Weakest where hot is 1: RMSE 3.000 on 100 rows, 1.500 on all."


def test_a_column_that_is_almost_always_the_same_is_cut_into_that_and_the_rest():
    task, rows = Regression(), 2000
    seen = np.zeros((rows, 1), np.float32)
    seen[:40, 0] = np.arange(1, 41)
    label = np.random.default_rng(1).normal(size=rows).astype(np.float32)
    found = cut(task, label, np.stack([label, label - 1, label + 1], 1), seen, [("overdue", 0)])
    assert {one.where: one.rows for one in found} == {"0": 1960, "another value": 40}
    assert not cut(task, label, np.stack([label] * 3, 1), np.zeros((rows, 1), np.float32), [("overdue", 0)])


def test_slices_say_nothing_of_a_few_rows_and_unknown_is_a_level():
    task, rows = TASKS["regression"], 300
    seen = features(rows)[:, :1].copy()
    seen[: MIN_ROWS - 1] = np.nan
    label = labels(task, features(rows))
    assert "unknown" not in [one.where for one in cut(task, label, answer(task, features(rows)), seen, [("a", 0)])]
    seen[:60] = np.nan
    found = cut(task, label, answer(task, features(rows)), seen, [("a", 0)])
    assert {one.where: one.rows for one in found}["unknown"] == 60
    assert sum(one.rows for one in found) == rows
