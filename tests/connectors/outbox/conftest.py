"""A PostgreSQL server for the outboxes of these tests."""

from collections.abc import Iterator

import pytest

from tests.connectors.tables import postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres.running() as port:
        yield f"postgresql://boss:{postgres.PASSWORD}@127.0.0.1:{port}/postgres"
