"""Invariant 12 with edits of real files: only what a change touches is done again, stage by stage.

Each edit is made in a copy of a project that has run; what runs anew in a new process is all that may have changed.
"""

import pytest

from tests.toy.edited import EditedProject
from tests.toy.line import NAME

DATA = {"clean", "quarantine"}
FEATURES = {"features", "online_snapshot"}
MODELS = {"base_model", "site_model"}
JUDGED = {"verdict", "release", "report"}
OPERATIONS = {"predictions", "outcomes", "drift", "prediction_log", "logged_outcomes"}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A project whose line has run."""
    project = EditedProject.new(tmp_path_factory.mktemp("done"))
    assert project.run()["failed"] == {}
    return project


def changed(done, tmp_path, *edits):
    """What a run after some edits makes anew."""
    project = done.copied(tmp_path)
    for edit in edits:
        project.edit(*edit)
    outcome = project.run()
    assert outcome["failed"] == {}
    return set(outcome["changed"])


WORDS = {
    "nothing": [],
    "a comment in the line's file": [("defs.yaml", "attributes:", "# somebody's note\nattributes:")],
    "the layout of the line's file": [("defs.yaml", "min_rows: 10", "min_rows:    10")],
    "a comment in the line's code": [("presses.py", "def repair_parts", "# for the join\ndef repair_parts")],
    "a docstring of the features": [("features.py", "What is known when", "All that is known when")],
    "a docstring of what they import": [("scales.py", "Return a force in kN.", "Return kN.")],
    "a schedule": [("defs.yaml", "  value:", '  schedule: "0 4 * * 1"\n  value:')],
    "costs": [("defs.yaml", "  value:", "  costs: {compute_hour_eur: 3}\n  value:")],
}


@pytest.mark.slow
@pytest.mark.parametrize("edit", WORDS)
def test_what_decides_nothing_does_nothing_again(done, tmp_path, edit):
    assert changed(done, tmp_path, *WORDS[edit]) == set()


SHOWN = {
    "owner": ("owner: plants@example.com", "owner: presses@example.com", "index", "presses@example.com", set()),
    "purpose": ("purpose: Will this part be faulty?", "purpose: Who is faulty?", "north", "Who is faulty?", {"report"}),
    "a sentence": ("Press force in kN.", "How hard it presses.", "north", "How hard it presses.", {"report"}),
}
"""Words that decide nothing and stand on a page: the edit, the page, what it says then, what is made anew of sites."""


@pytest.mark.slow
@pytest.mark.parametrize("what", SHOWN)
def test_what_only_a_page_shows_makes_the_page_anew_and_nothing_else(done, tmp_path, what):
    old, new, page, says, again = SHOWN[what]
    project = done.copied(tmp_path)
    project.edit("defs.yaml", old, new)
    assert set(project.run()["changed"]) == again
    assert says in (project.home / "reports" / NAME / f"{page}.html").read_text()


DECISIONS = {
    "a gate's limit": (("defs.yaml", "min_rows: 10", "min_rows: 25"), {"verdict"}, JUDGED),
    "approval by a person": (("defs.yaml", "min_rows: 10", "min_rows: 10\n    approval: required"), set(), JUDGED),
    "what a decision is worth": (("defs.yaml", "missed_eur: -5", "missed_eur: -6"), {"verdict"}, JUDGED | OPERATIONS),
    "an expectation that all rows keep": (
        ("defs.yaml", "min_value: 0, max_value: 1000}}", "min_value: -1, max_value: 1000}}"),
        DATA | {"online_snapshot"},  # the gateway keeps the contract, too, and has it from there
        DATA | {"online_snapshot", "report"},
    ),
    "an expectation that some rows break": (
        ("defs.yaml", "min_value: 0, max_value: 1000}}", "min_value: 0, max_value: 850}}"),
        DATA | FEATURES | MODELS | {"verdict"},
        DATA | FEATURES | MODELS | JUDGED | OPERATIONS,
    ),
    "a repair's arithmetic": (
        ("presses.py", "rows.with_columns(day=", 'rows.with_columns(heat_c=pl.col("heat_c") + 1, day='),
        DATA | FEATURES | MODELS | {"verdict"},
        # The shared table's repair is in the same module, whose code counts as a whole.
        DATA | {"clean_shifts"} | FEATURES | MODELS | JUDGED | OPERATIONS,
    ),
    "the features' code": (
        ("features.py", "force.cast(", "(force / 2).cast("),
        FEATURES | MODELS | {"verdict"},
        FEATURES | MODELS | JUDGED | OPERATIONS,
    ),
    "a module that the features import": (
        ("scales.py", "KN = 1.0", "KN = 2.0"),
        FEATURES | MODELS | {"verdict"},
        FEATURES | MODELS | JUDGED | OPERATIONS,
    ),
    "the recipe": (("defs.yaml", "epochs: 12", "epochs: 11"), MODELS | {"verdict"}, MODELS | JUDGED),
    "the split": (("defs.yaml", "holdout_days: 14", "holdout_days: 13"), MODELS | {"verdict"}, MODELS | JUDGED),
}
"""For each edit: what must be done again, and what may be."""


@pytest.mark.slow
@pytest.mark.parametrize("what", DECISIONS)
def test_what_decides_something_does_that_and_what_comes_after_again_and_nothing_else(done, tmp_path, what):
    edit, due, allowed = DECISIONS[what]
    again = changed(done, tmp_path, edit)
    assert due <= again
    assert again <= allowed


NAMES = {
    "a feature more": [
        (
            "features.py",
            '("heat_c", "crew")),',
            '("heat_c", "crew")),\n            force.pow(2).cast(pl.Float32).alias("force_2"),',
        ),
        ("defs.yaml", "      heat_c: Tool", "      force_2: Its square.\n      heat_c: Tool"),
    ],
    "a feature less": [
        ("features.py", '("heat_c", "crew")', '("heat_c",)'),
        ("defs.yaml", "      crew: Number of people on the shift.\n", ""),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("what", NAMES)
def test_a_feature_that_is_new_or_gone_trains_and_judges_anew(done, tmp_path, what):
    again = changed(done, tmp_path, *NAMES[what])
    assert FEATURES | MODELS | {"verdict"} <= again <= FEATURES | MODELS | JUDGED | OPERATIONS
