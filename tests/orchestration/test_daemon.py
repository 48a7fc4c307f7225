"""The line runs itself, under a real dagster-daemon: rows arrive, drift is found, the site is trained anew.

By the calendar, too: where a site fails, the daemon tries the run again, and that brings the site through.

Two daemons run over one home, and a sensor of somebody else's raises at every tick: neither doubles nor stops anything.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from factory.orchestration.instance import opened_instance
from factory.orchestration.line_job import CAUSE
from tests.toy.line import NAME, ToyFactory

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
MADE, NOW = "2024-02-08", "2024-03-01"
DEFINITIONS = """
import json, os
from pathlib import Path

import dagster as dg

HERE = Path(__file__).parent
HOME = Path(os.environ["FACTORY_HOME"])

def loaded():
    from factory.orchestration.resources import Calendar
    from tests.toy.line import ToyFactory

    @dg.sensor(name="that_raises", job_name="press_faults_line_job", minimum_interval_seconds=5,
               default_status=dg.DefaultSensorStatus.RUNNING)
    def that_raises(context):
        raise RuntimeError("this sensor was written on a Friday")

    toy = ToyFactory(HOME, calendar=Calendar(as_of="{now}"), schedule="* * * * *")
    made = toy.definitions(json.loads((HERE / "source.json").read_text()))
    return dg.Definitions.merge(made, dg.Definitions(sensors=[that_raises]))

@dg.definitions
def defs():
    return loaded()
"""


class Plant:
    """A project of its own around the toy line, whose north runs hot since its model was made."""

    def __init__(self, folder):
        self.folder, self.home = folder, folder / "home"
        (folder / "definitions.py").write_text(DEFINITIONS.replace("{now}", NOW))
        (folder / "source.json").write_text(json.dumps({"hot": ["north"]}))
        (folder / "workspace.yaml").write_text(
            "load_from:\n  - python_file: {relative_path: definitions.py, working_directory: ., location_name: toy}\n"
        )
        told = {"FACTORY_HOME": self.home, "DAGSTER_HOME": self.home / "dagster", "PYTHONPATH": ROOT}
        self.environment = {**os.environ, **{name: str(value) for name, value in told.items()}}
        self.toy = ToyFactory(self.home)
        assert self.toy.run(until=MADE) == 0

    @contextmanager
    def daemons(self, count):
        words = [BIN / "dagster-daemon", "run", "-w", "workspace.yaml"]
        logs = [(self.folder / f"daemon{number}.log").open("w") for number in range(count)]
        running = [
            subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=log, stderr=log, process_group=0)
            for log in logs
        ]
        try:
            yield
        finally:
            for one in running:
                os.killpg(one.pid, signal.SIGTERM)
            for one, log in zip(running, logs, strict=True):
                one.wait(60)
                log.close()

    def turn_on(self, name, kind="sensor"):
        self._dagster(kind, "start", name)

    def turn_off(self, name, kind="sensor"):
        self._dagster(kind, "stop", name)

    def _dagster(self, kind, action, name):
        done = subprocess.run(
            [BIN / "dagster", kind, action, f"{NAME}_{name}", "-w", "workspace.yaml"],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def wait_for(self, what, seconds=240):
        """Wait until `what` gives something, and return it."""
        given_up = time.monotonic() + seconds
        while not (found := what()):
            logs = "\n".join(log.read_text()[-3000:] for log in self.folder.glob("daemon*.log"))
            assert time.monotonic() < given_up, logs
            time.sleep(1)
        return found

    def over(self, cause, are=lambda run: True):
        """The runs of the line's job that a cause started, those that `are` such, newest first, once all are over."""
        with opened_instance(self.home / "dagster") as instance:
            runs = [run for run in instance.get_runs() if run.tags.get(CAUSE) == cause and are(run)]
        return runs if runs and all(run.is_finished for run in runs) else []

    def made_as_of(self, site):
        return self.toy.journal.latest("site_model", [site])[site].figures["as_of"]


def test_what_arrives_is_predicted_what_drifts_is_trained_anew_and_nobody_did_anything(tmp_path):
    plant = Plant(tmp_path)
    with plant.daemons(2):  # which may both ask for the same run, at the same moment
        plant.turn_on("new_rows")
        arrived = plant.wait_for(lambda: plant.over("rows"))
        assert {run.status for run in arrived} == {dg.DagsterRunStatus.SUCCESS}
        assert plant.made_as_of("north") == MADE  # rows alone train nothing
        plant.turn_on("drifted")
        trained = plant.wait_for(lambda: plant.over("drift"))
        assert {run.status for run in trained} == {dg.DagsterRunStatus.SUCCESS}
    assert plant.made_as_of("north") == NOW
    assert plant.made_as_of("south") == MADE
    predictions = plant.toy.lake.scan("predictions", ["north"]).collect()
    assert len(predictions) == predictions["part"].n_unique() > 100
    versions = plant.toy.registry.champions(NAME)
    assert versions["south"] == 1
    assert versions["north"] in (1, 2)  # two requests make one model
    assert plant.toy.journal.latest("site_model", ["north"])["north"].figures["version"] == 2


def test_a_site_that_fails_in_a_run_of_the_calendar_is_brought_through_by_the_daemons_next_try(tmp_path):
    plant = Plant(tmp_path)
    source = tmp_path / "source.json"
    source.write_text(json.dumps({"broken": ["south"], "hot": ["north"]}))
    with plant.daemons(1):
        plant.turn_on("calendar", "schedule")
        failed = plant.wait_for(lambda: plant.over("calendar", lambda run: run.is_failure))[0]
        source.write_text(json.dumps({"hot": ["north"]}))
        plant.turn_off("calendar", "schedule")
        plant.wait_for(lambda: plant.made_as_of("south") == NOW)
        again = plant.wait_for(lambda: plant.over("calendar", lambda run: run.root_run_id == failed.run_id))
    assert again[0].is_success  # the newest try; one before it may have met the source as it was
    assert plant.made_as_of("north") == NOW
