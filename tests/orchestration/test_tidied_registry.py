"""Whatever somebody tidies away in MLflow between two runs: the next one goes on, and gives no number twice."""

import random
import shutil
import subprocess
import sys

import pytest

from factory.line.gates import Comparison
from factory.model.candidate import WEIGHTS_FILE
from factory.names import LINE_SITE, model_name
from factory.pipeline.events import SiteFailed
from tests.toy.line import NAME, ToyFactory

pytestmark = pytest.mark.slow
DAYS = ["2024-02-20", "2024-03-01"]
MODEL, BASE = model_name(NAME, "north"), model_name(NAME, LINE_SITE)


def toy_at(home):
    """The line in a process that has seen nothing yet; every candidate that passes is released."""
    return ToyFactory(home, gates={"against_champion": Comparison(mode="disabled")})


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A home whose sites serve."""
    toy = toy_at(tmp_path_factory.mktemp("done"))
    assert toy.run(until=DAYS[0]) == 0
    return toy.home


class Registry:
    """MLflow as somebody uses it who may do anything there."""

    def __init__(self, home):
        self.home = home
        self.client = toy_at(home).registry.connection.runs

    def versions(self, model):
        """The versions of a model, newest first."""
        return sorted(self.client.search_model_versions(f"name='{model}'"), key=lambda one: -int(one.version))

    @property
    def experiment(self):
        return self.client.get_experiment_by_name(NAME).experiment_id

    def gc(self):
        address = f"sqlite:///{self.home / 'mlflow.db'}"
        command = [sys.executable, "-W", "ignore", "-m", "mlflow", "gc", "--backend-store-uri", address]
        subprocess.run([*command, "--tracking-uri", address], check=True, capture_output=True, timeout=120)

    def delete_runs(self):
        for run in self.client.search_runs([self.experiment]):
            self.client.delete_run(run.info.run_id)


def delete_newest(registry, model):
    for version in registry.versions(model)[:1]:
        registry.client.delete_model_version(model, version.version)


def delete_all_versions(registry):
    for version in registry.versions(MODEL):
        registry.client.delete_model_version(MODEL, version.version)


def delete_model(registry, model):
    if registry.versions(model):
        registry.client.delete_registered_model(model)


def rename_model(registry):
    if registry.versions(MODEL):
        registry.client.rename_registered_model(MODEL, f"archive-{random.getrandbits(40):x}")


def move_alias(registry):
    for version in registry.versions(MODEL)[-1:]:
        registry.client.set_registered_model_alias(MODEL, "champion", version.version)


def take_alias(registry):
    if registry.versions(MODEL):
        registry.client.delete_registered_model_alias(MODEL, "champion")


def edit_tags(registry, *names):
    for version in registry.versions(MODEL)[:1]:
        for name in names:
            registry.client.set_model_version_tag(MODEL, version.version, name, "edited")


def delete_tags(registry):
    for version in registry.versions(MODEL)[:1]:
        for name in version.tags:
            registry.client.delete_model_version_tag(MODEL, version.version, name)


def delete_files(registry):
    for version in registry.versions(MODEL)[:1]:
        shutil.rmtree(version.source, ignore_errors=True)


def delete_runs_for_good(registry):
    registry.delete_runs()
    registry.gc()


def delete_experiment_for_good(registry):
    registry.client.delete_experiment(registry.experiment)
    registry.gc()


DEEDS = {
    "nothing": lambda registry: None,
    "the newest version": lambda registry: delete_newest(registry, MODEL),
    "the newest base model": lambda registry: delete_newest(registry, BASE),
    "all versions": delete_all_versions,
    "the model": lambda registry: delete_model(registry, MODEL),
    "the base model": lambda registry: delete_model(registry, BASE),
    "its name": rename_model,
    "the alias moved": move_alias,
    "the alias gone": take_alias,
    "tags edited": lambda registry: edit_tags(registry, "digest", f"{WEIGHTS_FILE}.digest"),
    "the promotion edited": lambda registry: edit_tags(registry, "promotion", "passed"),
    "tags gone": delete_tags,
    "files": delete_files,
    "runs": Registry.delete_runs,
    "runs for good": delete_runs_for_good,
    "the experiment for good": delete_experiment_for_good,
}


class Numbers:
    """Every number that a version ever had, and the file it stood for; none is given twice."""

    def __init__(self):
        self.files, self.gone = {}, set()

    def look(self, registry):
        for model in (MODEL, BASE):
            there = {int(one.version): one for one in registry.versions(model)}
            known = {number for name, number in self.files if name == model}
            for number, version in there.items():
                assert (model, number) not in self.gone, f"{model} version {number} was given again"
                file = version.run_id
                assert self.files.setdefault((model, number), file) == file, f"{model} version {number} is another"
            self.gone |= {(model, number) for number in known - set(there)}


def require_sound(toy):
    """Everything that is served has a passing verdict for its very file, and is the registry's champion."""
    key = toy.store.key().public_key()
    champions = toy.registry.champions(NAME)
    assert MODEL in toy.repository.models()
    for site in (model.partition(".")[2] for model in toy.repository.models()):
        released = toy.repository.load(model_name(NAME, site), key)
        assert released.manifest.verdict.passed
        assert released.manifest.verdict.digest == released.manifest.digest
        assert champions.get(site) == released.manifest.version, site
        assert toy.registry.onnx(model_name(NAME, site), champions[site]) == released.content


def gone_through(home, deeds):
    """Do deed after deed, with a run after each, over the rows of one day and of another by turns."""
    numbers = Numbers()
    numbers.look(Registry(home))
    for number, name in enumerate(deeds):
        DEEDS[name](Registry(home))
        numbers.look(Registry(home))
        toy = toy_at(home)
        code = toy.run(until=DAYS[(number + 1) // 2 % 2])
        failed = {event.site: event.error for event in toy.events_of(SiteFailed)}
        assert (code, failed) == (0, {}), (deeds[: number + 1], failed)
        assert toy.run(until=DAYS[(number + 1) // 2 % 2]) == 0
        assert toy.outcome.changed.total() == 0, (deeds[: number + 1], toy.outcome.changed)
        numbers.look(Registry(home))
        require_sound(toy_at(home))


@pytest.mark.parametrize("seed", range(2))
def test_after_any_deeds_the_next_run_goes_on_and_no_number_is_given_twice(done, tmp_path, seed):
    home = tmp_path / "home"
    shutil.copytree(done, home, symlinks=True)
    gone_through(home, random.Random(seed).sample(sorted(DEEDS), k=5))  # noqa: S311


def test_where_the_experiment_was_deleted_a_run_says_how_to_bring_it_back_and_then_goes_on(done, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(done, home, symlinks=True)
    registry = Registry(home)
    experiment = registry.experiment
    registry.client.delete_experiment(experiment)
    toy = toy_at(home)
    assert toy.run(until=DAYS[0]) == 0  # nothing is to be registered
    assert toy.run(until=DAYS[1]) == 1
    (error,) = {event.error for event in toy.events_of(SiteFailed)}
    assert f"mlflow experiments restore -x {experiment}" in error
    assert "\n" not in error
    registry.client.restore_experiment(experiment)
    assert toy_at(home).run(until=DAYS[1]) == 0
    require_sound(toy_at(home))
