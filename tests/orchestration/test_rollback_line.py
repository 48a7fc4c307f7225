"""A rollback in the middle of a line's life: with the registry away, against the next runs, until somebody allows."""

import pytest

from factory.names import model_name
from factory.release.history import Event, findings
from factory.release.rollback import roll_back
from tests.toy.line import NAME

MODEL = model_name(NAME, "north")


@pytest.fixture(scope="module")
def toy(first_runs, tmp_path_factory):
    """The toy line with two releases at north."""
    toy = first_runs.copied(tmp_path_factory.mktemp("rollback"), sites=["north"], until="2024-02-20")
    assert toy.run(["north"], until="2024-03-01") == 0
    assert len(toy.repository.history(MODEL)) == 2
    return toy


def test_a_rollback_stands_against_the_lines_next_run_which_puts_the_registry_right(toy):
    first, second = toy.repository.history(MODEL)
    database, away = toy.home / "mlflow.db", toy.home / "away.db"
    database.rename(away)
    roll_back(toy.repository, MODEL, to=None, by="lena", reason="late", key=toy.store.key())
    assert not database.exists()  # nobody asked the registry
    assert toy.repository.current(MODEL) == first
    away.rename(database)
    assert toy.registry.champion(MODEL).digest == second.digest

    assert toy.run(["north"], until="2024-03-01") == 0
    assert toy.repository.current(MODEL) == first
    assert toy.registry.champion(MODEL).digest == first.digest

    allowance = Event(kind="allowance", actor="otto", reason="mended")
    toy.repository.site_history.append(MODEL, allowance, toy.store.key())
    assert toy.run(["north"], until="2024-03-01") == 0  # the file that was withdrawn does not come back by itself
    assert toy.repository.current(MODEL) == first

    written = toy.repository.site_history.read(MODEL)
    kinds = [record.kind for record in written.records() if record.kind != "refusal"]
    assert kinds == ["promotion", "release", "promotion", "release", "rollback", "promotion", "allowance"]
    assert findings(written, toy.store.key().public_key()) == []
