"""Ctrl-C and SIGTERM: a run that is asked to stop is recorded as canceled, and so is one whose process died.

Everything the stages write is whole or absent, so nothing is undone here: the same command goes on from there.
"""

import fcntl
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import dagster as dg

LAUNCH = "factory/launch"
"""The tag that names the launch a run belongs to; while its process lives, it holds a lock of that name."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
UNDER_WAY = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


_obey: ContextVar[Callable[[], None]] = ContextVar("_obey", default=lambda: None)


@contextmanager
def obeying(obey: Callable[[], None]) -> Iterator[None]:
    """Have the block's run stop before its next step if `obey` raises.

    What a handler raises is lost where a library imports, or Python calls back, and catches it; the run went on then.
    """
    token = _obey.set(obey)
    try:
        yield
    finally:
        _obey.reset(token)


def stop_if_asked() -> None:
    """Raise KeyboardInterrupt if the process that executes this run was asked to stop."""
    _obey.get()()


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Defer SIGINT and SIGTERM to the end of the block, whose work must not be left half done.

    Blocking them would hold for one thread alone, and any thread may receive them. Outside the main thread, where
    Python runs no handlers, there is nothing to do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {number: signal.signal(number, lambda got, _: received.append(got)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for first in received[:1]:
            # Not raised again where a handler can be called: whoever counts signals would take it for a second Ctrl-C.
            handler = before[signal.Signals(first)]
            handler(first, None) if callable(handler) else signal.raise_signal(first)


@contextmanager
def launch_lock(instance: dg.DagsterInstance) -> Iterator[str]:
    """Give the block's launch a name and hold the lock that says its process lives."""
    name = uuid.uuid4().hex
    place = _lock_of(instance, name)
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield name
        finally:
            place.unlink(missing_ok=True)


def cancel_dead_runs(instance: dg.DagsterInstance, line: str) -> list[str]:
    """Record as canceled every run of the line that is under way in no living process; return their ids."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY, tags={"line": line}))
    # A run that was begun again from the UI has the tag of the one before it, and a process that is not ours.
    launched = [run for run in runs if LAUNCH in run.tags and run.parent_run_id is None]
    dead = [run for run in launched if not _lives(_lock_of(instance, run.tags[LAUNCH]))]
    for run in dead:
        instance.report_run_canceled(run, "The process of this run died; the same command goes on from here.")
        _lock_of(instance, run.tags[LAUNCH]).unlink(missing_ok=True)
    return [run.run_id for run in dead]


def record_canceled(instance: dg.DagsterInstance, run_id: str) -> None:
    """Record a run that was interrupted as canceled, wherever the interruption caught it."""
    run = instance.get_run_by_id(run_id)
    if run and run.status not in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED):
        instance.report_run_canceled(run, "Stopped by a person or the system; the same command goes on from here.")


def _lock_of(instance: dg.DagsterInstance, launch: str) -> Path:
    return Path(instance.root_directory) / "launches" / f"{launch}.lock"


def _lives(lock: Path) -> bool:
    try:
        with lock.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
