"""What the factory stands on fails under it: registry, lake, clock, the list of sites. Each for real, none for good."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import dagster as dg
import httpx
import pytest

from factory.line.gates import Comparison
from factory.names import LINE_SITE, model_name
from factory.orchestration.instance import opened_instance
from factory.pipeline.events import SiteFailed
from factory.registry.registry import Registry
from factory.storage.journal import Journal, utc_now
from factory.storage.lake_store import LakeStore
from tests.toy.line import NAME, ToyFactory, registry_arguments

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SITES = ["east", "north", "south"]
EARLIER, LATER = "2024-02-20", "2024-03-01"


def served(toy):
    """What the gateway would load of each site: version and digest, or nothing."""
    key, found = toy.store.key().public_key(), {}
    for site in SITES:
        model = model_name(NAME, site)
        manifest = toy.repository.load(model, key).manifest if toy.repository.marker(model) else None
        found[site] = manifest and (manifest.version, manifest.digest)
    return found


class TrackingServer:
    """A real MLflow server over a home, which can be killed and started again."""

    def __init__(self, home):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1", "--no-serve-artifacts"]
        places = ["--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"]
        places += ["--default-artifact-root", str(home / "artifacts")]
        self.command = [sys.executable, "-m", "mlflow", "server", *words, *places]
        self.process = None

    def start(self, within_s=60):
        quiet = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.process = subprocess.Popen(
            self.command, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        given_up = time.monotonic() + within_s
        while time.monotonic() < given_up:
            with suppress(httpx.TransportError):
                httpx.get(f"{self.address}/health", timeout=1).raise_for_status()
                return
            time.sleep(0.1)
        raise TimeoutError("the tracking server does not answer")

    def kill(self):
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None


SERVERS: dict[str, TrackingServer] = {}
"""The servers by their address: a resource holds nothing but plain values."""


@dataclass(frozen=True, kw_only=True)
class FailingRegistry(Registry):
    """A registry whose server dies at one point of a site's way."""

    point: str

    def register(self, candidate):
        done = super().register(candidate)
        self._at("registered", candidate.name)
        return done

    def record_verdict(self, model, version, verdict):
        super().record_verdict(model, version, verdict)
        self._at("judged", model)

    def promote(self, model, version, verdict, **how):
        super().promote(model, version, verdict, **how)
        self._at("promoted", model)

    def _at(self, point, model):
        if self.point == point and model == model_name(NAME, "north"):
            SERVERS[self.tracking_uri].kill()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A tracking server over the home, and clients that do not wait long for it."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    ToyFactory(tmp_path)  # makes the database
    server = TrackingServer(tmp_path)
    SERVERS[server.address] = server
    server.start()
    yield server
    server.kill()
    del SERVERS[server.address]


def with_server(home, server, point=""):
    """The toy line with its registry on the server, which dies at the point."""
    told = {**registry_arguments(home), "tracking_uri": server.address}
    gates = {"against_champion": Comparison(mode="disabled")}  # so that the later candidate is released
    return ToyFactory(home, gates=gates, registry=FailingRegistry(point=point, **told))


def versions(toy, site):
    """The numbers of all the versions that the registry keeps of a site."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=toy.registry.tracking_uri, registry_uri=toy.registry.tracking_uri)
    return sorted(int(kept.version) for kept in client.search_model_versions(f"name='{model_name(NAME, site)}'"))


def test_a_registry_that_dies_during_a_run_takes_nothing_down_and_the_next_run_completes(tmp_path, server):
    assert with_server(tmp_path, server).run(until=EARLIER) == 0
    before = served(with_server(tmp_path, server))
    assert before["north"]
    for point in ("registered", "judged", "promoted"):
        toy = with_server(tmp_path, server, point)
        assert toy.run(until=LATER) == 1, point
        failed = {event.site: event.error for event in toy.events_of(SiteFailed)}
        assert failed, point
        assert all(str(server.port) in text for text in failed.values()), "a failure does not say what is down"
        if point != "promoted":
            assert served(toy) == before, point
        assert toy.lake.scan("raw/parts").collect().height == 420 + 360 + 30  # what came before is kept
        server.start()
    toy = with_server(tmp_path, server)
    assert toy.run(until=LATER) == 0
    now = served(toy)
    assert now["north"] != before["north"]
    for site in SITES:
        made = toy.journal.latest("site_model", [site])[site].figures
        assert versions(toy, site) == list(range(1, int(made["version"]) + 1))
        assert len(versions(toy, site)) <= 2, "a run over the same data made its model twice"
    assert toy.run(until=LATER) == 0
    assert (toy.outcome.changed.total(), toy.outcome.failed) == (0, {})


def without_power_over_files():
    """Let permissions count in this process although it is root's: drop CAP_DAC_OVERRIDE for what it executes."""
    if os.geteuid() == 0:
        assert ctypes.CDLL(None, use_errno=True).prctl(24, 1, 0, 0, 0) == 0  # PR_CAPBSET_DROP


def permit_writing(folder, *, allowed):
    """Give or take the right to write from a folder and everything in it."""
    for place in [folder, *folder.rglob("*")]:
        place.chmod((0o755 if place.is_dir() else 0o644) if allowed else (0o555 if place.is_dir() else 0o444))


def test_a_lake_that_cannot_be_written_is_named_and_what_is_served_goes_on(tmp_path):
    toy = ToyFactory(tmp_path)
    assert toy.run(until=EARLIER) == 0
    before, rows = served(toy), toy.status()["north"]["rows"]
    permit_writing(tmp_path / "lake", allowed=False)
    done = subprocess.run(
        [sys.executable, "-m", "tests.toy.killed", str(tmp_path), "line", "", json.dumps({"until": LATER})],
        cwd=ROOT,
        preexec_fn=without_power_over_files,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    failed = [line for line in done.stdout.splitlines() if line.startswith("SiteFailed(")]
    assert len(failed) == len(SITES)
    assert all(any(f"site='{site}'" in line for line in failed) for site in SITES)
    for event in failed:
        assert "LakeError: line press_faults: the lake's table 'raw/parts'" in event
        assert "may not write or read there" in event
    assert served(toy) == before
    assert toy.status()["north"]["rows"] == rows
    permit_writing(tmp_path / "lake", allowed=True)
    assert toy.run(until=LATER) == 0
    assert toy.status()["north"]["rows"]["raw"] == 420


class FastClock(LakeStore):
    """A lake whose journal is kept by a clock that is an hour ahead."""

    def journal(self, line):
        return Journal(self.of(line), clock=lambda: utc_now() + timedelta(hours=1))


def test_after_the_clock_went_back_an_hour_the_newest_run_counts_all_the_same(tmp_path):
    ahead = ToyFactory(tmp_path, lake=FastClock(url=str(tmp_path / "lake")))
    assert ahead.run(["north"], until=EARLIER) == 0
    toy = ToyFactory(tmp_path)
    assert toy.run(["north"], until=LATER) == 0
    newest = toy.lake.scan("verdict", ["north"]).sort("at").collect().rows(named=True)
    assert [row["as_of"] for row in newest] == [EARLIER, LATER]
    assert toy.status()["north"]["rows"]["raw"] == 420
    assert toy.status()["north"]["verdict"]["digest"] == newest[-1]["digest"]
    changed = {table: toy.lake.version(table) for table in ("journal", "verdict", "features")}
    assert toy.run(["north"], until=LATER) == 0
    assert {table: toy.lake.version(table) for table in changed} == changed


@dataclass(frozen=True, kw_only=True)
class RemovingRegistry(Registry):
    """A registry at whose first sight of a model somebody removes a site from the line."""

    instance: str
    removes: dict[str, str]

    def register(self, candidate):
        site = self.removes.get(candidate.site)
        if site:
            with dg.DagsterInstance.from_config(self.instance) as instance:
                instance.delete_dynamic_partition(f"{NAME}_sites", site)
        return super().register(candidate)


def test_a_site_removed_between_stages_is_left_out_and_told_and_one_removed_amid_a_stage_harms_no_other(tmp_path):
    removes = {LINE_SITE: "south", "east": "north"}
    registry = RemovingRegistry(instance=str(tmp_path / "dagster"), removes=removes, **registry_arguments(tmp_path))
    toy = ToyFactory(tmp_path, registry=registry)
    assert toy.run() == 1
    assert toy.outcome.failed == {
        "south": "sites: it was removed from line press_faults meanwhile and is left out from here on; what was done "
        "for it stays. To bring it back: factory site add press_faults south"
    }
    assert toy.status()["south"]["rows"]["raw"] == 360
    assert toy.status()["south"]["verdict"] is None
    assert toy.status()["north"]["serving"]
    assert ToyFactory(tmp_path).run() == 0
    assert ToyFactory(tmp_path).status()["south"]["serving"]
    with opened_instance(tmp_path / "dagster") as instance:
        assert sorted(instance.get_dynamic_partitions(f"{NAME}_sites")) == SITES
