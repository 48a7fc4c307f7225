"""Locks by name: one holder at a time, whoever holds it and however its holder ends."""

import subprocess
import sys
import threading

import pytest

from factory.storage.locks import FileLocks

HOLD = """
import sys, time
from pathlib import Path
from factory.storage.locks import FileLocks

with FileLocks(Path(sys.argv[1])).hold("press"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def locks(tmp_path):
    return FileLocks(tmp_path / "not there yet")


def is_free(locks, name):
    with locks.hold_if_free(name) as held:
        return held


def test_who_does_not_wait_is_told_that_another_holds_the_lock(locks):
    with locks.hold("press"):
        assert not is_free(locks, "press")
        assert is_free(locks, "other")
    assert is_free(locks, "press")


def test_who_waits_goes_on_when_the_holder_lets_go(locks):
    done = []

    def work():
        with locks.hold("press"):
            done.append("waited")

    waiting = threading.Thread(target=work)
    with locks.hold("press"):
        waiting.start()
        waiting.join(0.2)
        assert done == []
    waiting.join(10)
    assert done == ["waited"]


def test_a_holder_that_is_killed_holds_nothing(locks):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(locks.folder)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert not is_free(locks, "press")
        other.kill()
    assert is_free(locks, "press")


def test_a_block_that_raises_lets_go(locks):
    with pytest.raises(ZeroDivisionError), locks.hold("press"):
        _ = 1 / 0
    assert is_free(locks, "press")


def test_the_same_folder_is_the_same_locks(tmp_path):
    assert {FileLocks(tmp_path), FileLocks(tmp_path)} == {FileLocks(tmp_path)}
