"""A site that is removed from its line serves nothing, keeps everything, and comes back only on purpose."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from factory.errors import ReleaseRefused
from factory.gateway.metrics.telemetry import Telemetry
from factory.gateway.models.catalogue import Catalogue
from factory.gateway.models.question import Predictions
from factory.monitoring.trials.decisions import begin
from factory.release import Terms
from factory.release.history import findings
from factory.release.rollback import redeploy, roll_back
from factory.release.store import ModelStore
from tests.gateway.builders import Shop, onnx_model, verdict

MODEL = "toy.UA"
FIRST, SECOND = onnx_model(), onnx_model(bias=1.0)
BY = {"by": "lena", "reason": "the plant is sold"}


@pytest.fixture
def shop(tmp_path):
    """Two releases; the first is on trial beside the second."""
    shop = Shop(tmp_path)
    shop.release(FIRST, version=1)
    shop.release(SECOND, version=2)
    begin(shop.repository, MODEL, 1, Terms(mode="shadow", share=1.0, by="lena", reason="to see"), key=shop.key)
    return shop


def test_a_running_gateway_stops_serving_it_and_everything_is_kept(shop):
    with ThreadPoolExecutor(1) as workers:
        catalogue = Catalogue(shop.repository, shop.key.public_key(), Telemetry(), Predictions(workers))
        asyncio.run(catalogue.refresh())
        assert MODEL in catalogue.served
        assert shop.repository.retire(MODEL, key=shop.key, **BY).version == 2
        asyncio.run(catalogue.refresh())
        assert MODEL not in catalogue.served
    assert shop.repository.sequences(MODEL) == [1, 2]
    assert shop.repository.trial_tokens() == {}
    written = shop.repository.site_history.read(MODEL)
    removal = next(record for record in written.records() if record.kind == "removal")
    assert (removal.actor, removal.reason, removal.version, removal.release) == ("lena", "the plant is sold", 2, 2)
    assert findings(written, shop.key.public_key()) == []


def test_removed_twice_it_is_removed_once(shop):
    shop.repository.retire(MODEL, key=shop.key, **BY)
    before = shop.repository.site_history.read(MODEL)
    assert shop.repository.retire(MODEL, key=shop.key, **BY) is None
    assert shop.repository.site_history.read(MODEL) == before


def test_nothing_serves_it_again_until_it_is_back_in_its_line(shop):
    shop.repository.retire(MODEL, key=shop.key, **BY)
    terms = Terms(mode="shadow", share=1.0, by="lena", reason="again")
    attempts = {
        "a run": lambda: shop.release(onnx_model(bias=2.0), version=3),
        "a rollback": lambda: roll_back(shop.repository, MODEL, to=1, key=shop.key, **BY),
        "a moved alias": lambda: redeploy(shop.repository, MODEL, verdict(FIRST).digest, by="alias", key=shop.key),
        "a trial": lambda: shop.repository.start_trial(MODEL, 1, terms, key=shop.key),
    }
    for attempt in attempts.values():
        with pytest.raises(ReleaseRefused, match=r"lena removed it from line toy on .* \(the plant is sold\)"):
            attempt()
    assert shop.repository.marker(MODEL) is None
    assert shop.repository.reinstate(MODEL, by="lena", reason="bought back", key=shop.key)
    assert not shop.repository.reinstate(MODEL, by="lena", reason="bought back", key=shop.key)
    assert shop.repository.marker(MODEL) is None  # what it serves comes by a release
    assert shop.release(SECOND, version=2).sequence == 3


def test_a_line_knows_who_removed_which_site(shop):
    store = ModelStore(root=shop.home / "models", key_folder=shop.home / "keys")
    shop.release(FIRST, line="other", verdict=verdict(FIRST, line="other"))
    assert store.removed_sites("toy") == {}
    shop.repository.retire(MODEL, key=shop.key, **BY)
    (why,) = store.removed_sites("toy").values()
    assert "bring it back with: factory site add toy UA" in why
    assert store.removed_sites("other") == {}
