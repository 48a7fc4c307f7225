"""A line whose challengers are on trial first: beside the champion, as challenger, until a person promotes one."""

import pytest

from factory.monitoring.trials.decisions import begin, promote, shown
from factory.names import model_name
from factory.release import Terms
from factory.release.history import findings
from tests.toy.line import NAME, ToyFactory

MODEL = model_name(NAME, "north")
EARLY, LATE = "2024-02-20", "2024-03-01"


def key(toy):
    return toy.store.key().public_key()


def running(toy):
    return toy.repository.trial(MODEL, key(toy))


def aliases(toy):
    found = toy.registry.connection.runs.search_registered_models(f"name='{MODEL}'")[0].aliases
    return {name: int(version) for name, version in found.items()}


def kinds(toy):
    return [one.kind for one in toy.repository.site_history.read(MODEL).records() if one.kind != "refusal"]


@pytest.mark.slow
def test_a_challenger_is_on_trial_beside_the_champion_until_a_person_ends_or_promotes_it(tmp_path):
    toy = ToyFactory(tmp_path, gates={"promotion": "canary", "canary_share": 0.25})
    assert toy.run(["north"], until=EARLY) == 0
    champion = toy.repository.current(MODEL)
    assert (champion.sequence, running(toy)) == (1, None)  # a site without a champion serves at once

    assert toy.run(["north"], until=LATE) == 0
    assert toy.repository.current(MODEL) == champion
    trial = running(toy)
    assert (trial.mode, trial.share, trial.beside, trial.by) == ("canary", 0.25, 1, f"line {NAME}")
    assert aliases(toy) == {"champion": champion.version, "challenger": trial.version}
    assert kinds(toy) == ["promotion", "release", "trial"]

    toy.repository.end_trial(MODEL, by="lena", reason="worse", key=toy.store.key())
    assert toy.run(["north"], until=LATE) == 0  # it is not for the line to begin it again
    assert running(toy) is None
    assert toy.repository.current(MODEL) == champion

    database, away = toy.home / "mlflow.db", toy.home / "away.db"
    database.rename(away)
    again = Terms(mode="shadow", share=1.0, by="lena", reason="was the weather")
    begin(toy.repository, MODEL, trial.release, again, key=toy.store.key())
    on = shown(toy.repository, MODEL, toy.home / "predictions", key(toy))
    promote(toy.repository, on, by="lena", reason="better", key=toy.store.key(), anyway=True)
    assert not database.exists()  # nobody asked the registry
    away.rename(database)
    assert toy.repository.current(MODEL).digest == trial.digest
    assert aliases(toy)["champion"] == champion.version

    assert toy.run(["north"], until=LATE) == 0
    assert toy.repository.current(MODEL).digest == trial.digest
    assert aliases(toy) == {"champion": trial.version}
    assert toy.repository.unregistered(MODEL, key(toy)) is None
    told = ["trial_end", "trial", "trial_promotion", "release", "trial_end", "promotion"]
    assert kinds(toy) == ["promotion", "release", "trial", *told]
    releases = {one.sequence: one.digest for one in toy.repository.history(MODEL)}
    assert findings(toy.repository.site_history.read(MODEL), key(toy), releases=releases) == []
