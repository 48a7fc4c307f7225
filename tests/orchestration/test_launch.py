"""Whether a command executes its run itself, or leaves it to a daemon: only to one that is alive."""

import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat  # what a daemon leaves as a sign of life

from factory.orchestration.instance import opened_instance
from factory.orchestration.launch import SILENT_S, LineLauncher, has_queue
from factory.orchestration.project import load_definitions
from factory.pipeline.events import LineRequest, Said
from tests.toy.line import NAME

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = """
import os
from pathlib import Path

from tests.toy.line import ToyFactory

defs = ToyFactory(Path(os.environ["FACTORY_HOME"])).definitions()
"""


def beat(instance, seconds_ago):
    """Leave the sign of life of a daemon that takes runs from the queue."""
    at = time.time() - seconds_ago
    instance.add_daemon_heartbeat(DaemonHeartbeat(at, "QUEUED_RUN_COORDINATOR", "a daemon", []))


def test_a_daemon_that_stopped_minutes_ago_takes_no_runs(tmp_path):
    """Dagster calls it healthy for half an hour, for which `factory run` waited without a word."""
    with opened_instance(tmp_path) as instance:
        assert not has_queue(instance)
        beat(instance, seconds_ago=10)
        assert has_queue(instance)
        beat(instance, seconds_ago=SILENT_S + 10)
        assert not has_queue(instance)


@pytest.mark.slow
def test_a_run_that_a_daemon_left_in_the_queue_is_executed_by_the_command(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("FACTORY_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    root = tmp_path / "project"
    root.mkdir()
    (root / "definitions.py").write_text(DEFINITIONS)
    (root / "workspace.yaml").write_text("load_from: [{python_file: {relative_path: definitions.py}}]\n")
    events = []
    with opened_instance(home / "dagster") as instance:
        launcher = LineLauncher(definitions=load_definitions(root), instance=instance, root=root)
        beat(instance, seconds_ago=SILENT_S - 15)
        outcome = launcher.run(LineRequest(line=NAME, stages=("raw", "clean")), events.append)
        statuses = [run.status for run in instance.get_runs()]
    assert outcome.exit_code == 0
    assert [event for event in events if isinstance(event, Said) and "executed here" in event.text]
    assert statuses == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED]
