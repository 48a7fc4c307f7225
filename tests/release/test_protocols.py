"""Who serves, tries out or rolls back asks no more of a store of releases than its Protocol says."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from typing_extensions import get_protocol_members

from factory.gateway.metrics.telemetry import Telemetry
from factory.gateway.models.catalogue import Catalogue
from factory.gateway.models.question import Predictions
from factory.monitoring.trials.decisions import begin
from factory.pipeline.rollout.state import RolloutStore
from factory.release import ModelRepository, Terms
from factory.release.history import History
from factory.release.protocols import ReleaseReader, ReleaseRepository, ServedReleases
from factory.release.rollback import redeploy, roll_back
from tests.gateway.builders import Shop, onnx_model, verdict
from tests.storage.shared_locks import SharedLocks

MODEL = "toy.UA"
FIRST, SECOND = onnx_model(), onnx_model(bias=1.0)
TERMS = Terms(mode="canary", share=0.5, by="lena", reason="to see")


class Only:
    """Gives of another object what a Protocol names, and nothing else."""

    def __init__(self, kept, protocol):
        self._kept, self._names = kept, get_protocol_members(protocol)

    def __getattr__(self, name):
        if name not in self._names:
            raise AttributeError(f"the Protocol has no {name}")
        return getattr(self._kept, name)


@pytest.fixture
def shop(tmp_path):
    """Two releases of two files; the second is served."""
    shop = Shop(tmp_path)
    shop.release(FIRST, version=1)
    shop.release(SECOND, version=2)
    return shop


def test_a_gateway_follows_releases_and_trials_through_its_protocol_alone(shop):
    begin(shop.repository, MODEL, 1, TERMS, key=shop.key)
    with ThreadPoolExecutor(1) as workers:
        served = Only(shop.repository, ServedReleases)
        catalogue = Catalogue(served, shop.key.public_key(), Telemetry(), Predictions(workers))
        asyncio.run(catalogue.refresh())
        assert catalogue.served[MODEL].model.manifest.sequence == 2
        assert catalogue.served[MODEL].trial_mark == shop.repository.trial_token(MODEL)
        (shop.home / "models").rename(shop.home / "away")  # a store that is away takes nothing out of service
        asyncio.run(catalogue.refresh())
        assert MODEL in catalogue.served


def test_people_roll_back_try_out_and_release_again_through_the_protocol_alone(shop):
    releases = Only(shop.repository, ReleaseRepository)
    assert begin(releases, MODEL, 1, TERMS, key=shop.key).release == 1
    assert releases.end_trial(MODEL, by="lena", reason="seen", key=shop.key).release == 1
    assert roll_back(releases, MODEL, to=1, by="lena", reason="late", key=shop.key).sequence == 1
    assert redeploy(releases, MODEL, verdict(FIRST).digest, by="lena", key=shop.key).version == 1


@pytest.mark.parametrize("protocol", [ServedReleases, ReleaseReader, ReleaseRepository])
def test_the_folder_keeps_every_promise(shop, protocol):
    assert all(hasattr(shop.repository, name) for name in get_protocol_members(protocol))


def test_one_set_of_locks_can_serve_whoever_writes(tmp_path):
    locks = SharedLocks()
    shop = Shop(tmp_path)
    shop.repository = ModelRepository(tmp_path / "models", History(tmp_path / "history", locks), locks)
    shop.release(FIRST)
    with RolloutStore(tmp_path / "rollouts", locks).alone("toy"):
        pass
    assert locks.names == ["releases.toy.UA", "history.toy.UA", "rollout.toy"]
    assert not list(tmp_path.rglob("*.lock"))
