"""A process that delivers is killed at any moment: nothing is lost, nothing doubled."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.connectors.tables import postgres

ROOT = Path(__file__).parents[3]


def killed(folder: Path, kind: str, kills: int, address: str = "", **environment: str) -> dict:
    program = [sys.executable, "-m", "tests.connectors.outbox.killing", str(folder), kind, str(kills), "7", address]
    done = subprocess.run(
        program, check=True, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}
    )
    return json.loads(done.stdout)


def require_each_once(said: dict, kills: int) -> None:
    assert kills <= said["killed"] <= kills + 1  # of two at once both are killed
    assert (said["lost"], said["doubled"], said["strange"]) == (0, 0, 0), said
    assert said["states"] == {"accepted": said["put"]}
    assert said["tried_again"] > 0, "no kill came while a message was on its way"


@pytest.mark.parametrize("kind", ["asked", "files"])
def test_a_dozen_kills_during_delivery_lose_and_double_nothing(tmp_path, kind):
    require_each_once(killed(tmp_path, kind, 12), 12)


@postgres.needs_postgres
def test_kills_of_two_that_deliver_at_once_from_postgresql_lose_and_double_nothing(tmp_path, postgres_url):
    require_each_once(killed(tmp_path, "asked", 8, FACTORY_OUTBOX_URL=postgres_url), 8)


@pytest.mark.slow
@postgres.needs_postgres
def test_a_hundred_kills_of_two_that_deliver_at_once_from_postgresql_lose_and_double_nothing(tmp_path):
    with postgres.running() as port:
        url = f"postgresql://boss:{postgres.PASSWORD}@127.0.0.1:{port}/postgres"
        require_each_once(killed(tmp_path, "asked", 100, FACTORY_OUTBOX_URL=url), 100)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["asked", "files"])
def test_a_hundred_kills_during_delivery_lose_and_double_nothing(tmp_path, kind):
    require_each_once(killed(tmp_path, kind, 100), 100)


@pytest.mark.slow
@postgres.needs_postgres
def test_a_hundred_kills_during_delivery_into_postgresql_lose_and_double_nothing(tmp_path):
    with postgres.running() as port:
        url = f"postgresql://boss:{postgres.PASSWORD}@127.0.0.1:{port}/postgres"
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE decisions (message_key TEXT PRIMARY KEY, order_no INTEGER)"))
        engine.dispose()
        require_each_once(killed(tmp_path, "sql", 100, url), 100)
