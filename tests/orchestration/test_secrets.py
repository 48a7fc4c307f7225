"""Nothing that the orchestrator keeps or shows has a secret in it: events, stacks, logs, metadata."""

import json

import dagster as dg
import pytest

from factory.errors.masking import keep_secret
from factory.orchestration.events import report, written
from factory.orchestration.line_parts import masked_into
from factory.orchestration.metadata import metadata
from factory.pipeline.events import SiteFailed

URL = "postgresql+psycopg://app:hunter22@db.example/shop?token=correcthorse"
SECRETS = ("hunter22", "correcthorse")


@dg.op
def nothing():
    """Do nothing."""


@dg.job
def job():
    """Do nothing."""
    nothing()


def failure():
    """An error as a library raises it: its own words, and those behind them, repeat the address."""
    try:
        try:
            raise OSError(f"no route to {URL}")
        except OSError as error:
            raise RuntimeError(f"cannot read {URL}") from error
    except RuntimeError as error:
        return error


def test_an_event_and_its_stack_have_no_secret():
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(job)
        error = failure()
        event = SiteFailed(step="raw/orders", site="north", error=str(error), at=1.0)
        report(instance, run, event, f"raw/orders of north failed: {error}", step_key="data", error=error)
        kept = "".join(str(record.event_log_entry) for record in instance.get_records_for_run(run.run_id).records)
        ((_, read),) = written(instance, run.run_id)
    assert "postgresql+psycopg://***@db.example/shop" in read.error
    assert "RuntimeError" in kept
    assert not [secret for secret in SECRETS if secret in kept]


@pytest.mark.parametrize("figure", [URL, [URL, "fine"], {"source": URL}, {"options": "{'sas_token': 'hunter22'}"}])
def test_metadata_has_no_secret(figure):
    shown = metadata("raw", {"why": figure, "rows": 3})
    assert shown["rows"] == 3
    text = json.dumps({name: str(getattr(value, "value", value)) for name, value in shown.items()})
    assert "***" in text
    assert not [secret for secret in SECRETS if secret in text]


def test_metadata_leaves_a_link_that_one_can_open():
    page = "http://127.0.0.1:5000/#/experiments/1/runs/ab?workflowType=machine_learning"
    assert metadata("site_model", {"registry": page})["registry"].value == page


def test_what_a_stage_says_in_the_log_has_no_secret():
    keep_secret("correcthorse")
    said = []
    masked_into(said.append)(f"reading {URL} with correcthorse")
    assert said == ["reading postgresql+psycopg://***@db.example/shop?*** with ***"]
