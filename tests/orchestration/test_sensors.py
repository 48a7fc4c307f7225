"""Sensors without a daemon: a moved alias is followed or refused, what fails is asked for again, people are told."""

import dataclasses
import shutil

import dagster as dg
import numpy as np
import pytest
from mlflow import MlflowClient

from factory.model.signature import Signature
from factory.model.verdict import digest_of
from factory.monitoring.alerts import Alerts
from factory.names import model_name
from factory.orchestration.attempts import MAX_ATTEMPTS
from factory.orchestration.project_definitions import failure_sensor
from factory.pipeline.rollout.sites import LinePlace
from factory.registry.registry import Registry
from factory.release import Draft, Guard, Terms
from factory.release.rollback import roll_back
from factory.storage.home import Home
from tests.gateway.builders import Shop, onnx_model
from tests.gateway.builders import verdict as a_verdict
from tests.orchestration.webhook import webhook
from tests.registry.test_registry import candidate, verdict
from tests.toy.line import NAME, ToyFactory, registry_arguments

MODEL = model_name(NAME, "north")
SIGNATURE = Signature(task="binary", features=("a", "b", "c"), output="probability", answers=("probability",))


class Plant:
    """A home where north serves version 2 after version 1, and version 3 was registered and never promoted."""

    def __init__(self, home, alerts_to=None):
        self.alerts = Alerts(webhook=alerts_to)
        self.toy = ToyFactory(home, alerts=self.alerts)
        for number in (1, 2, 3):
            content = onnx_model(bias=float(number))
            made = candidate(
                "north", line=NAME, onnx=content, digest=digest_of(content), safetensors=np.float32(number).tobytes()
            )
            kept = self.toy.registry.register(made)
            if number < 3:
                self.toy.registry.promote(MODEL, kept.version, verdict(made), by="line")
                self.release(content, kept.version, verdict(made))
        self.definitions = self.toy.definitions()
        self.cursor = None

    def release(self, content, version, passed):
        self.toy.repository.release(
            content,
            line=NAME,
            site="north",
            version=version,
            verdict=passed,
            signature=SIGNATURE,
            threshold=0.5,
            provenance={},
            example=(1.0, 2.0, 3.0),
            key=self.toy.store.key(),
        )

    def move_alias(self, version):
        uri = self.toy.registry.tracking_uri
        MlflowClient(tracking_uri=uri, registry_uri=uri).set_registered_model_alias(MODEL, "champion", str(version))

    def tick(self, instance):
        context = dg.build_sensor_context(
            instance,
            cursor=self.cursor,
            resources={"registry": self.toy.registry, "store": self.toy.store},
        )
        found = self.definitions.resolve_sensor_def(f"{NAME}_champion_moved")(context)
        self.cursor = found.cursor
        return found.run_requests

    def run(self, request, instance, **swapped):
        definitions = ToyFactory(self.toy.home, alerts=self.alerts, **swapped).definitions()
        job = definitions.resolve_job_def(f"{NAME}_follow_job")
        tags = {"dagster/run_key": request.run_key}
        return job.execute_in_process(request.run_config, instance=instance, tags=tags, raise_on_error=False)

    def served(self):
        return self.toy.repository.current(MODEL).version


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def test_where_alias_and_release_agree_nothing_runs(tmp_path, instance):
    plant = Plant(tmp_path)
    assert [plant.tick(instance) for _ in range(3)] == [[], [], []]


def test_an_alias_moved_to_an_earlier_champion_is_served_again(tmp_path, instance):
    plant = Plant(tmp_path)
    plant.move_alias(1)
    assert plant.tick(instance) == []  # it may be on its way
    (request,) = plant.tick(instance)
    assert plant.tick(instance) == []  # asked for once
    assert plant.run(request, instance).success
    assert plant.served() == 1
    assert plant.toy.repository.current(MODEL).sequence == 3
    assert plant.tick(instance) == []
    assert plant.toy.repository.site_history.read(MODEL).records()[-1].actor == "alias in the registry"


def test_an_alias_moved_to_what_was_never_promoted_is_refused_and_people_are_told_once(tmp_path, instance):
    with webhook() as (address, came):
        plant = Plant(tmp_path, address)
        plant.move_alias(3)
        plant.tick(instance)
        (request,) = plant.tick(instance)
        assert plant.run(request, instance).success
        assert plant.served() == 2
        assert plant.tick(instance) == plant.tick(instance) == []
    (alert,) = came
    assert (alert["kind"], alert["line"], alert["site"]) == ("champion refused", NAME, "north")
    assert "the alias was moved by hand" in alert["text"]


def test_while_a_rollback_holds_the_alias_is_put_back_instead(tmp_path, instance):
    plant = Plant(tmp_path)
    roll_back(plant.toy.repository, MODEL, to=None, by="lena", reason="late", key=plant.toy.store.key())
    plant.tick(instance)
    (request,) = plant.tick(instance)
    assert plant.run(request, instance).success
    assert plant.served() == 1
    assert plant.toy.registry.champions(NAME) == {"north": 1}
    assert plant.tick(instance) == []


def test_an_alias_of_a_removed_site_is_not_followed(tmp_path, instance):
    plant = Plant(tmp_path)
    plant.toy.repository.retire(MODEL, by="lena", reason="the plant is sold", key=plant.toy.store.key())
    plant.move_alias(1)
    assert [plant.tick(instance) for _ in range(3)] == [[], [], []]
    assert plant.toy.repository.current(MODEL) is None


def test_before_its_turn_in_a_rollout_an_alias_that_was_moved_is_not_followed(tmp_path, instance):
    with webhook() as (address, came):
        plant = Plant(tmp_path, address)
        LinePlace.at(Home.at(tmp_path), NAME).keep_waiting(["north"], by="lena", reason="a wider network")
        plant.move_alias(1)
        plant.tick(instance)
        (request,) = plant.tick(instance)
        assert plant.run(request, instance).success
        assert plant.served() == 2
    (alert,) = came
    assert "the rollout of" in alert["text"]


def test_after_a_trial_was_promoted_the_alias_follows_and_may_be_moved_again(tmp_path, instance):
    plant = Plant(tmp_path)
    repository, key = plant.toy.repository, plant.toy.store.key()
    content = onnx_model(bias=3.0)
    made = candidate("north", line=NAME, onnx=content, digest=digest_of(content))
    draft = dataclasses.replace(
        Draft.again(content, repository.current(MODEL)), version=3, verdict=verdict(made), guard=Guard()
    )
    trial = repository.try_out(draft, Terms(mode="canary", share=0.1, by="line", reason="passed"), key=key)
    assert [plant.tick(instance) for _ in range(2)] == [[], []]  # a trial moves no alias
    repository.promote_trial(trial, by="lena", reason="better", key=key)
    plant.tick(instance)
    (request,) = plant.tick(instance)
    assert plant.run(request, instance).success
    assert (plant.served(), plant.toy.registry.champions(NAME)) == (3, {"north": 3})
    assert plant.tick(instance) == []
    plant.move_alias(2)
    plant.tick(instance)
    (request,) = plant.tick(instance)
    assert plant.run(request, instance).success
    assert (plant.served(), plant.toy.registry.champions(NAME)) == (2, {"north": 2})


def test_a_run_that_fails_is_asked_for_again_under_another_key_three_times_in_all(tmp_path, instance):
    plant = Plant(tmp_path)
    down = NoRegistry(**registry_arguments(plant.toy.home))
    plant.move_alias(1)
    keys = []
    for _ in range(MAX_ATTEMPTS + 4):
        for request in plant.tick(instance):
            keys.append(request.run_key)
            assert not plant.run(request, instance, registry=down).success
    assert len(keys) == len(set(keys)) == MAX_ATTEMPTS
    assert plant.served() == 2


def by_a_strangers_key(plant, releases):
    """Whole and well made, but for the key: signed in another factory."""
    stranger = Shop(plant.toy.home / "stranger")
    for number in (1, 2, 3):
        content = onnx_model(bias=10.0 + number)
        passed = a_verdict(content, "north", line=NAME)
        stranger.release(content, number, "north", line=NAME, verdict=passed)
    shutil.copytree(stranger.home / "models" / ".releases" / MODEL / "3", releases / "3")


def another_model_in_a_good_release(plant, releases):
    """The manifest of what passed over the file of what did not."""
    shutil.copytree(releases / "2", releases / "3")
    file = releases / "3" / "2" / "model.onnx"
    file.chmod(0o644)
    file.write_bytes(onnx_model(bias=3.0))
    manifest = releases / "3" / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text().replace('"sequence": 2', '"sequence": 3'))


def what_was_rolled_back_from(plant, _releases):
    """It passed its gates, and a person took it out of service."""
    roll_back(plant.toy.repository, MODEL, to=None, by="lena", reason="late", key=plant.toy.store.key())


BY_HAND = {
    by_a_strangers_key: (3, "is not signed by this factory's release key"),
    another_model_in_a_good_release: (3, "is not signed by this factory's release key"),
    what_was_rolled_back_from: (2, "the rollback by lena (late) holds release 1: the link was switched by hand"),
}


def served_rightly(job, instance):
    """Whether everything that is served has passed, as the check on it says."""
    checks = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    return next(check.passed for check in checks if check.check_name == "served_models_have_passed")


@pytest.mark.parametrize("put", BY_HAND, ids=lambda put: put.__name__)
def test_a_release_put_in_by_hand_is_told_of_with_why(tmp_path, instance, put):
    """Files laid into the repository and the link switched to them, as anybody can who may write there."""
    release, why = BY_HAND[put]
    instance.add_dynamic_partitions(f"{NAME}_sites", ["north"])
    with webhook() as (address, came):
        plant = Plant(tmp_path, address)
        job = plant.definitions.resolve_job_def(f"{NAME}_checks_job")
        assert served_rightly(job, instance)
        put(plant, tmp_path / "models" / ".releases" / MODEL)
        link = tmp_path / "models" / MODEL
        link.unlink()
        link.symlink_to(f".releases/{MODEL}/{release}")
        assert not served_rightly(job, instance)
    (alert,) = came
    assert (alert["kind"], alert["line"], alert["site"]) == ("release refused", NAME, "north")
    assert why in alert["text"]


class NoRegistry(Registry):
    """A registry that is down."""

    def champion(self, model):
        raise OSError("the registry does not answer")


def failed_run(instance):
    @dg.op
    def press():
        raise dg.Failure("the press stands still")

    @dg.job(tags={"line": NAME})
    def pressing():
        press()

    done = pressing.execute_in_process(instance=instance, raise_on_error=False)
    return dg.build_run_status_sensor_context(
        sensor_name="tell_of_failed_runs",
        dagster_event=done.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=done.dagster_run,
    ).for_run_failure()


def test_people_are_told_of_a_run_that_failed_and_why(instance):
    with webhook() as (address, came):
        failure_sensor()(failed_run(instance), alerts=Alerts(webhook=address))
    (alert,) = came
    assert alert["kind"] == "run failed"
    assert alert["text"] == "pressing failed: the press stands still"
    assert (alert["job"], alert["line"]) == ("pressing", NAME)


@pytest.mark.parametrize("broken", [500, None], ids=["the webhook fails", "nobody listens"])
def test_an_alert_that_cannot_be_delivered_harms_nothing_and_its_address_is_not_told(instance, caplog, broken):
    with webhook(broken or 200) as (address, _):
        if broken:
            failure_sensor()(failed_run(instance), alerts=Alerts(webhook=address))
    if not broken:
        failure_sensor()(failed_run(instance), alerts=Alerts(webhook=address, timeout_s=1))
    assert "could not be delivered" in caplog.text
    assert "secret-path" not in caplog.text


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://x", "example.com"])
def test_a_webhook_is_an_http_address(address):
    with pytest.raises(ValueError, match="is no http or https address"):
        Alerts(webhook=address)
