"""Why a run failed, as its event log has it, in a sentence for the terminal: without the orchestrator's stack."""

import dagster as dg
import pytest

from factory.errors import LineError
from factory.orchestration.events import read
from factory.pipeline.events import RunFailed


def told(error):
    """What is told of a run whose op raises this."""

    @dg.op
    def broken():
        raise error

    @dg.job
    def job():
        broken()

    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(instance=instance, raise_on_error=False)
        events = [read(entry) for entry in instance.all_logs(run.run_id) if entry.is_dagster_event]
    return [event.text for event in events if isinstance(event, RunFailed)]


def test_an_error_of_ours_is_its_sentence():
    assert told(LineError("line presses: its source has no site;\nlook at the source")) == [
        "LineError: line presses: its source has no site;\nlook at the source"
    ]


def test_an_unforeseen_error_says_where_in_the_code_it_arose():
    (text,) = told(ZeroDivisionError("division by zero"))
    assert text.startswith("ZeroDivisionError: division by zero (File ")
    assert "test_told_errors.py" in text
    assert "\n" not in text


@pytest.mark.parametrize("label", [None, "why"])
def test_a_failure_is_its_description(label):
    assert told(dg.Failure(f"1 failed: {label}")) == [f"1 failed: {label}"]
