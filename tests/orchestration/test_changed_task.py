"""A line whose task was changed after its sites were served: another question, which no champion ever answered."""

import pytest

from factory.tasks.regression import Regression, RegressionValue
from tests.toy.line import NAME, ToyFactory

QUANTITY = {
    "gates": {"at_least": {}, "at_most": {}},
    "changed": {"task": Regression(minimum=0), "value": RegressionValue(under_unit_eur=-1, over_unit_eur=-1)},
}


@pytest.mark.slow
def test_a_candidate_of_another_task_is_refused_in_a_sentence_and_what_is_served_goes_on(tmp_path):
    toy = ToyFactory(tmp_path)
    assert toy.run() == 0
    served = {site: state["serving"] for site, state in toy.status().items() if state["serving"]}
    assert served
    changed = ToyFactory(tmp_path, **QUANTITY)
    assert changed.run() == 1
    assert set(changed.outcome.failed) == set(served)  # a site without a champion is judged as ever
    for site, why in changed.outcome.failed.items():
        assert why.startswith(f"verdict: LineError: line {NAME}, site {site}: it serves a model of the task binary")
        assert "the line's task is regression now" in why
        assert why.endswith(f"end this one with: factory site remove {NAME} {site}")
    assert {site: toy.status()[site]["serving"] for site in served} == served
