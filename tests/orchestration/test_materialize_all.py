"""The first button that a Dagster user presses, in a real browser, with a real webserver and a real daemon.

The group of a line's assets → Materialize all → one site, and all of them; every line in one backfill; a site that
fails and is retried; `dg launch` over two ops. Whatever was selected is materialized, or it is red.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
import httpx
import pytest

from factory.orchestration.instance import opened_instance
from factory.pipeline.stages import RUNS, steps
from tests.browser import BROWSER, needs_browser
from tests.toy.line import FILE, ToyFactory, toy_line

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SITES = {"east", "north", "south"}
LINES = ("first_line", "other_line", "third_line")
OF_SITES = {name for kind in RUNS if kind.of_sites for s in steps(toy_line()) if s.run == kind.name for name in s.makes}
OF_THE_LINE = {
    name for kind in RUNS if not kind.of_sites for s in steps(toy_line()) if s.run == kind.name for name in s.makes
}
DEFINITIONS = """
import functools, os, sys
from pathlib import Path

import dagster as dg

@functools.cache
def loaded():
    sys.path.insert(0, str(Path(__file__).parent))  # its own lines/ before this repository's
    from factory.orchestration.project_definitions import project_definitions
    from tests.toy.line import ToyFactory

    return project_definitions(Path(__file__).parent, ToyFactory(Path(os.environ["FACTORY_HOME"])).bound())

@dg.definitions
def defs():
    return loaded()
"""
WORKSPACE = "load_from:\n  - python_file: {relative_path: definitions.py, working_directory: ., location_name: plant}\n"
BACKFILL = """mutation ($what: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $what) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
RUN = """mutation ($what: ExecutionParams!) { launchRun(executionParams: $what) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RETRY = """mutation ($what: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $what) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


class World:
    """Three copies of the toy line in a project, its home, its webserver and its daemon."""

    def __init__(self, folder):
        self.project, self.home = folder / "project", ToyFactory(folder / "home").home
        (self.project / "lines").mkdir(parents=True)
        (self.project / "lines" / "__init__.py").touch()
        for line in LINES:
            shutil.copytree(FILE.parent, self.project / "lines" / line, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", self.project)
        (self.project / "definitions.py").write_text(DEFINITIONS)
        (self.project / "workspace.yaml").write_text(WORKSPACE)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        own = {"FACTORY_HOME": self.home, "DAGSTER_HOME": self.home / "dagster", "PYTHONPATH": ROOT}
        self.environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
        with opened_instance(self.home / "dagster") as instance:
            for line in LINES:
                instance.add_dynamic_partitions(f"{line}_sites", sorted(SITES))

    @contextmanager
    def served(self):
        commands = (
            [BIN / "dagster-webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(self.port)],
            [BIN / "dagster-daemon", "run", "-w", "workspace.yaml"],
        )
        with ExitStack() as stack:
            log = stack.enter_context((self.home / "servers.log").open("w"))
            servers = [
                subprocess.Popen(words, cwd=self.project, env=self.environment, stdout=log, stderr=log)
                for words in commands
            ]
            try:
                self.wait_for(self._is_up)
                yield self
            finally:
                for server in servers:
                    server.terminate()
                for server in servers:
                    server.wait(60)

    def _is_up(self):
        try:
            return self.asked("{ assetNodes { id } }")["assetNodes"]
        except httpx.TransportError:
            return None

    def asked(self, query, **variables):
        """What the webserver answers to a query of GraphQL."""
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}/graphql", json={"query": query, "variables": variables}, timeout=60
        )
        return answer.raise_for_status().json()["data"]

    def wait_for(self, what, seconds=1800):
        """Wait until `what` gives something, and return it."""
        given_up = time.monotonic() + seconds
        while not (value := what()):
            assert time.monotonic() < given_up, (self.home / "servers.log").read_text()[-4000:]
            time.sleep(1)
        return value

    def finished(self, since=0.0):
        """The runs since a moment, once there are some and all are over."""
        with opened_instance(self.home / "dagster") as instance:
            runs = [one.dagster_run for one in instance.get_run_records() if one.create_timestamp.timestamp() >= since]
            busy = [one for one in instance.get_backfills() if not one.status.value.startswith(("COMPLETED", "FAILED"))]
        return runs if runs and not busy and all(run.is_finished for run in runs) else None

    def launch(self, job, line):
        """Launch a line's job, or all its assets for all sites in one run, and return the run's id."""
        place = {"repositoryLocationName": "plant", "repositoryName": "__repository__"}
        what = {"selector": {**place, "jobName": job or "__ASSET_JOB"}, "runConfigData": {}}
        if job is None:
            keys = [{"path": [line, *name.split("/")]} for name in sorted(OF_SITES | OF_THE_LINE)]
            what["selector"] |= {"assetSelection": keys, "assetCheckSelection": []}
            ends = zip(("start", "end"), (min(SITES), max(SITES)), strict=True)
            tags = [{"key": f"dagster/asset_partition_range_{end}", "value": site} for end, site in ends]
            what["executionMetadata"] = {"tags": tags}
        return self._launched(self.asked(RUN, what=what)["launchRun"])

    def retry_from_failure(self, run):
        """Press "Re-execute from failure" of a run, and return the id of the new one."""
        what = {"parentRunId": run.run_id, "strategy": "FROM_FAILURE"}
        return self._launched(self.asked(RETRY, what=what)["launchRunReexecution"])

    def _launched(self, answer):
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def over(self, run_id):
        """A run, once it is over."""

        def finished():
            with opened_instance(self.home / "dagster") as instance:
                run = instance.get_run_by_id(run_id)
            return run if run.is_finished else None

        return self.wait_for(finished)

    def backfill(self, backfill_id):
        with opened_instance(self.home / "dagster") as instance:
            return instance.get_backfill(backfill_id).status.value

    def materialized(self, line):
        """The sites for which each asset of a line is materialized; of those of the line, whether they are."""
        with opened_instance(self.home / "dagster") as instance:
            keys = {name: dg.AssetKey([line, *name.split("/")]) for name in OF_SITES | OF_THE_LINE}
            return {
                name: set(instance.get_materialized_partitions(key))
                if name in OF_SITES
                else instance.get_latest_materialization_event(key) is not None
                for name, key in keys.items()
            }


def everything(sites):
    return {**{name: set(sites) for name in OF_SITES}, **dict.fromkeys(OF_THE_LINE, True)}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with World(tmp_path_factory.mktemp("world")).served() as served:
        yield served


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1600,1200", "--no-first-run"):
        options.add_argument(word)
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))) as driver:
        yield driver


def press_materialize_all(world, browser, line, site=None):
    """Open the group, press the button, choose a site or all of them, and launch."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(browser, 60, ignored_exceptions=(Exception,))

    def shown(text, kind="*"):
        places = browser.find_elements(By.XPATH, f"//{kind}[normalize-space(.)='{text}' or starts-with(., '{text}')]")
        return next((place for place in reversed(places) if place.is_displayed() and place.is_enabled()), None)

    browser.get(f"http://127.0.0.1:{world.port}/locations/plant/asset-groups/{line}")
    wait.until(lambda _: shown("Materialize all", "button")).click()
    wait.until(lambda _: shown("Partition selection"))
    if site is None:
        wait.until(lambda _: shown("All", "button")).click()
    else:
        wait.until(lambda _: shown("Select a partition")).click()
        wait.until(lambda _: shown(site)).click()
        browser.find_element(By.TAG_NAME, "body").send_keys("\ue00c")  # Escape, which closes the list
    wait.until(lambda _: shown("Launch 1 run" if site else "Launch backfill", "button")).click()


@needs_browser
@pytest.mark.skipif(not shutil.which("chromedriver"), reason="no chromedriver: apt-get install chromium-driver")
@pytest.mark.parametrize(("line", "site"), [("first_line", "north"), ("other_line", None)])
def test_materialize_all_makes_all(world, browser, line, site):
    since = time.time()
    press_materialize_all(world, browser, line, site)
    runs = world.wait_for(lambda: world.finished(since))
    assert {run.status.value for run in runs} == {"SUCCESS"}
    assert world.materialized(line) == everything([site] if site else SITES)


def test_all_lines_in_one_backfill_are_materialized(world):
    keys = [{"path": [line, *name.split("/")]} for line in LINES for name in sorted(OF_SITES | OF_THE_LINE)]
    answer = world.asked(BACKFILL, what={"assetSelection": keys, "allPartitions": True})["launchPartitionBackfill"]
    world.wait_for(lambda: world.backfill(answer["backfillId"]).startswith(("COMPLETED", "FAILED")))
    assert world.backfill(answer["backfillId"]) == "COMPLETED_SUCCESS"
    for line in LINES:
        assert world.materialized(line) == everything(SITES), line


@pytest.mark.parametrize("through", ["assets", "job"])
def test_a_site_that_fails_is_brought_through_by_a_retry_from_failure_and_the_others_go_on(tmp_path, through):
    line = LINES[0]
    broken = "    use: tests.toy.press_faults.presses:Presses\n    arguments: {broken: [south]}\n"
    with World(tmp_path).served() as world:
        file = world.project / "lines" / line / "defs.yaml"
        good = file.read_text()
        file.write_text(good.replace("    use: tests.toy.press_faults.presses:Presses\n", broken))
        assert file.read_text() != good
        job = f"{line}_line_job" if through == "job" else None
        first = world.launch(job, line)
        failed = world.over(first)
        assert failed.status is dg.DagsterRunStatus.FAILURE
        made = world.materialized(line)
        assert made == everything({"east", "north"})
        file.write_text(good)
        again = world.over(world.retry_from_failure(failed))
        assert again.status is dg.DagsterRunStatus.SUCCESS
        assert world.materialized(line) == everything(SITES)


def test_scattered_sites_are_materialized_and_no_other(tmp_path):
    with World(tmp_path).served() as world:
        keys = [{"path": [LINES[0], *name.split("/")]} for name in sorted(OF_SITES | OF_THE_LINE)]
        what = {"assetSelection": keys, "partitionNames": ["east", "south"]}
        answer = world.asked(BACKFILL, what=what)["launchPartitionBackfill"]
        world.wait_for(lambda: world.backfill(answer["backfillId"]).startswith(("COMPLETED", "FAILED")))
        assert world.backfill(answer["backfillId"]) == "COMPLETED_SUCCESS"
        assert world.materialized(LINES[0]) == everything(["east", "south"])


def test_dg_launch_over_two_ops_makes_both(tmp_path):
    world = World(tmp_path)
    assets = ",".join(f"{LINES[0]}/{name}" for name in ("raw/shifts", "clean_shifts", "raw/parts", "clean", "features"))
    done = subprocess.run(
        [BIN / "dg", "launch", "--assets", assets, "--partition", "north"],
        cwd=world.project, env=world.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    made = world.materialized(LINES[0])
    assert made["clean_shifts"]
    assert made["features"] == made["clean"] == made["raw/parts"] == {"north"}
