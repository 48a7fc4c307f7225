"""What CI does without a UI, on the real line and its real data: `dg launch` and `dagster job backfill`."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from factory.names import LINE_SITE
from factory.storage.lake import Lake

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
LINE = "departure_delay"
REFERENCES = ",".join(f"{LINE}/{name}" for name in ("raw/weather", "clean_weather", "raw/planes", "clean_planes"))
DATA = ",".join(f"{LINE}/{name}" for name in ("raw/flights", "clean", "quarantine", "announced", "features"))


class Ci:
    """A CI job: commands in the project's folder, with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lake = Lake(home / "lake", LINE)
        told = {"FACTORY_HOME": home, "DAGSTER_HOME": home / "dagster", "POLARS_MAX_THREADS": 2}
        self.environment = {**os.environ, **{name: str(value) for name, value in told.items()}}

    def does(self, command: str, *words: str) -> str:
        """Run a command, which must end well, and return all it printed."""
        done = self.tries(command, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def tries(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [BIN / command, *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def add(self, *sites: str) -> None:
        """Add sites as a person does."""
        for site in sites:
            self.does("factory", "site", "add", LINE, site, "--home", str(self.home))

    def rows(self, table: str, site: str) -> int:
        """How many rows of a site a table has."""
        return len(self.lake.scan(table, [site]).collect())


@pytest.fixture(scope="module")
def ci(tmp_path_factory):
    """A home with one site, and what all sites share loaded by `dg launch`."""
    ci = Ci(tmp_path_factory.mktemp("ci"))
    ci.add("HA")
    ci.does("dg", "launch", "--assets", REFERENCES)
    return ci


def test_ci_loads_what_all_sites_share(ci):
    assert ci.rows("raw/planes", LINE_SITE) == 3322
    assert ci.rows("clean_weather", LINE_SITE) > 8000


def test_ci_runs_a_sites_data_by_its_name(ci):
    ci.does("dg", "launch", "--assets", DATA, "--partition", "HA")
    assert ci.rows("raw/flights", "HA") == ci.rows("clean", "HA") == ci.rows("features", "HA") == 120


def test_a_site_that_was_never_added_is_refused(ci):
    refused = ci.tries("dg", "launch", "--assets", DATA, "--partition", "ZZ")
    assert refused.returncode == 1
    assert "ZZ" in refused.stderr
    assert ci.lake.site_versions("raw/flights", ["ZZ"]) == {"ZZ": 0}


@pytest.mark.slow
def test_ci_takes_the_shared_tables_along_in_a_sites_run(tmp_path):
    """They are the line's and not the site's, however the run was launched."""
    ci = Ci(tmp_path)
    ci.add("HA")
    ci.does("dg", "launch", "--assets", f"{REFERENCES},{LINE}/raw/flights", "--partition", "HA")
    assert ci.rows("raw/flights", "HA") == 120
    assert ci.lake.scan("raw/planes").collect()["site"].unique().to_list() == [LINE_SITE]


@pytest.mark.slow
def test_ci_submits_a_backfill_and_the_daemon_completes_it(ci):
    ci.add("OO")
    words = ("-j", f"{LINE}_data_job", "--partitions", "HA,OO", "--noprompt", "-w", "workspace.yaml")
    backfill = re.search(r"Launched backfill job `(\w+)`", ci.does("dagster", "job", "backfill", *words))
    with daemons(ci, 1), dg.DagsterInstance.from_config(ci.environment["DAGSTER_HOME"]) as instance:
        statuses = awaited(instance, backfill[1], runs=2)
    assert statuses == ["SUCCESS", "SUCCESS"]
    assert ci.rows("features", "OO") == 1


@pytest.mark.slow
def test_two_daemons_over_one_home_do_nothing_twice(tmp_path):
    ci = Ci(tmp_path)
    ci.add("HA", "OO")
    ci.does("dg", "launch", "--assets", REFERENCES)
    words = ("-j", f"{LINE}_data_job", "--partitions", "HA,OO", "--noprompt", "-w", "workspace.yaml")
    with daemons(ci, 2), dg.DagsterInstance.from_config(ci.environment["DAGSTER_HOME"]) as instance:
        backfill = re.search(r"Launched backfill job `(\w+)`", ci.does("dagster", "job", "backfill", *words))
        statuses = awaited(instance, backfill[1], runs=2)
    assert set(statuses) == {"SUCCESS"}
    assert (ci.rows("raw/flights", "HA"), ci.rows("raw/flights", "OO")) == (120, 1)
    assert (ci.rows("features", "HA"), ci.rows("features", "OO")) == (120, 1)
    assert ci.lake.site_versions("raw/flights", ["HA", "OO"]) == {"HA": 1, "OO": 1}


@contextmanager
def daemons(ci: Ci, number: int) -> Iterator[None]:
    """Run so many of the orchestrator's daemons over the home at once."""
    words = [BIN / "dagster-daemon", "run", "-w", "workspace.yaml"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen(words, cwd=ROOT, env=ci.environment, **quiet) for _ in range(number)]
    try:
        yield
        assert [daemon.poll() for daemon in running] == [None] * number
    finally:
        for daemon in running:
            daemon.terminate()
        for daemon in running:
            daemon.wait(timeout=60)


def awaited(instance: dg.DagsterInstance, backfill: str, runs: int, timeout_s: float = 180) -> list[str]:
    """The status of each of a backfill's runs once all are over, or as they are when time is up."""
    mine = dg.RunsFilter(tags={"dagster/backfill": backfill})
    given_up = time.monotonic() + timeout_s
    while time.monotonic() < given_up:
        found = instance.get_runs(mine)
        if len(found) >= runs and all(run.is_finished for run in found):
            break
        time.sleep(1)
    return [run.status.value for run in found]
