"""What `resources/` binds an environment to: the home's places, or what variables name, and no secret is stored."""

import dagster as dg
import pytest
from dagster._serdes import serialize_value

from factory.connectors.outbox.store import OutboxStore
from factory.errors import EnvironmentRefused, FactoryError
from factory.monitoring.alerts import Alerts
from factory.orchestration.line_parts import RESOURCES
from factory.orchestration.resources import opened
from factory.registry.registry import Registry
from factory.storage.home import Home
from factory.storage.lake_store import LakeStore
from resources import bindings

SECRETS = {
    "FACTORY_ALERT_WEBHOOK": "http://127.0.0.1:1/secret-path",
    "FACTORY_ALERT_URLS": "slack://secret-a/secret-b/secret-c json://127.0.0.1:1/secret-path",
    "FACTORY_LAKE_OPTIONS": '{"aws_secret_access_key": "secret-key"}',
    "FACTORY_OUTBOX_URL": "postgresql://factory:secret-word@db.example.com/outbox",
    "MLFLOW_TRACKING_URI": "postgresql://mlflow:secret-word@db.example.com/mlflow",
}
SHARED = {"MLFLOW_TRACKING_URI": "https://mlflow.example.com", "FACTORY_LAKE": "s3://bucket/lake"}


@pytest.mark.parametrize("environment", ["local", "production"])
def test_an_environment_binds_everything_that_lines_ask_for(tmp_path, environment):
    variables = {**SHARED, "FACTORY_HOME": str(tmp_path), "FACTORY_ENVIRONMENT": environment}
    assert set(bindings(tmp_path, variables)) >= RESOURCES


def test_without_variables_everything_is_in_the_home_beside_the_project(tmp_path):
    home, bound = Home.at(tmp_path / ".factory"), bindings(tmp_path, {})
    assert opened(bound["lake"]) == LakeStore.at(home)
    assert opened(bound["registry"]).tracking_uri == home.tracking_uri
    assert opened(bound["store"]).root == home.models
    assert opened(bound["prediction_log"]) == home.prediction_log
    assert opened(bound["reports"]).root == home.reports
    assert not home.root.exists()


def test_variables_name_another_home_and_a_lake_elsewhere(tmp_path, monkeypatch):
    variables = {**SHARED, "FACTORY_HOME": str(tmp_path / "far"), "FACTORY_LAKE_OPTIONS": '{"aws_region": "eu-west-1"}'}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    bound = bindings(tmp_path, variables)
    assert opened(bound["lake"]) == LakeStore(url="s3://bucket/lake", storage_options={"aws_region": "eu-west-1"})
    assert opened(bound["lake"]) == LakeStore.at(Home.found(variables))  # what the commands read is what runs write
    assert opened(bound["registry"]).tracking_uri == "https://mlflow.example.com"
    assert opened(bound["store"]).root == tmp_path / "far" / "models"


def test_production_names_what_is_missing(tmp_path):
    with pytest.raises(EnvironmentRefused, match="needs the variables MLFLOW_TRACKING_URI, FACTORY_HOME"):
        bindings(tmp_path, {"FACTORY_ENVIRONMENT": "production", "FACTORY_LAKE": "s3://bucket/lake"})


def test_an_environment_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(EnvironmentRefused, match=r"'staging'; resources/ has local, production"):
        bindings(tmp_path, {"FACTORY_ENVIRONMENT": "staging"})


def test_the_orchestrator_stores_the_variables_names_and_not_what_they_say(tmp_path, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    seen = {}

    @dg.op
    def using(
        alerts: dg.ResourceParam[Alerts],
        lake: dg.ResourceParam[LakeStore],
        outbox: dg.ResourceParam[OutboxStore],
        registry: dg.ResourceParam[Registry],
    ):
        seen.update(
            FACTORY_ALERT_WEBHOOK=alerts.webhook,
            FACTORY_ALERT_URLS=alerts.addresses,
            FACTORY_LAKE_OPTIONS=lake.storage_options["aws_secret_access_key"],
            FACTORY_OUTBOX_URL=outbox.url,
            MLFLOW_TRACKING_URI=registry.tracking_uri,
        )

    @dg.job
    def used():
        using()

    job = dg.Definitions(jobs=[used], resources=bindings(tmp_path, SECRETS)).resolve_job_def("used")
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(instance=instance).success
    assert seen == {**SECRETS, "FACTORY_LAKE_OPTIONS": "secret-key"}
    kept = serialize_value(job.get_job_snapshot())
    assert all(name in kept for name in SECRETS)
    assert "secret-" not in kept


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("FACTORY_ALERT_WEBHOOK", "ftp://secret.example.com", ValueError),
        ("FACTORY_LAKE_OPTIONS", '{"key": "secret"', FactoryError),
        ("FACTORY_LAKE_OPTIONS", '["secret"]', FactoryError),
        ("FACTORY_LAKE_OPTIONS", '{"secret": 1}', FactoryError),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused_on_loading_without_being_told(
    tmp_path, monkeypatch, name, value, error
):
    monkeypatch.setenv(name, value)
    with pytest.raises(error) as refused:
        bindings(tmp_path, {name: value})
    assert "secret" not in str(refused.value)
