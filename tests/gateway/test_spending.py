"""One key's rate, kept by several workers that read each other's numbers and wait for nobody."""

import time

import pytest

from factory.gateway.access.key_file import Key
from factory.gateway.access.keys import BURST_S, Grant
from factory.gateway.access.quota import shared_spending
from factory.gateway.refusal import RequestRefused

RATE = 1000.0
KEY = Key(name="erp", sha256="../../etc/passwd", rows_per_s=RATE)
WORKERS = 3


@pytest.fixture
def grants(tmp_path):
    return [worker(number, tmp_path) for number in range(1, WORKERS + 1)]


def worker(number, folder):
    return Grant(KEY, shared_spending(folder, number, WORKERS))


def spent(grant, rows):
    try:
        grant.spend(rows)
    except RequestRefused:
        return 0
    return rows


def test_asked_at_all_workers_at_once_a_key_gets_its_rate_once(grants):
    start = time.monotonic()
    rows = 0
    while time.monotonic() - start < 0.5:
        rows += sum(spent(grant, 50) for grant in grants)
    took_s = time.monotonic() - start
    assert RATE * BURST_S <= rows <= RATE * (BURST_S + took_s) + 50 * WORKERS


def test_a_client_of_one_worker_gets_all_of_its_rate(grants):
    assert spent(grants[0], int(RATE * BURST_S)) == RATE * BURST_S
    assert spent(grants[1], 100) == 0


def test_what_a_worker_spent_stays_spent_when_another_comes_in_its_place(grants, tmp_path):
    spent(grants[0], int(RATE * BURST_S))
    assert spent(worker(1, tmp_path), 500) == 500  # a burst of its own, which the others make up for
    assert spent(grants[1], 1) == 0


def test_whatever_a_key_file_says_nothing_is_written_elsewhere(grants, tmp_path):
    assert {place.parent for place in tmp_path.rglob("*")} == {tmp_path}
