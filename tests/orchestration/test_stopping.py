"""Ctrl-C, SIGTERM and a killed process, with real processes: every run ends on record, and the next one completes."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from factory.cli.interrupts import Interrupts
from factory.names import LINE_SITE, model_name
from factory.orchestration.instance import opened_instance
from factory.orchestration.launch import Interruptions, LineLauncher
from factory.orchestration.stopping import LAUNCH, cancel_dead_runs, launch_lock, signals_deferred
from factory.pipeline.events import LineRequest, Stopped
from tests.toy.line import NAME, ToyFactory
from tests.toy.project import toy_project

ROOT = Path(__file__).resolve().parents[2]
SITES = ["east", "north", "south"]
MOMENTS = {
    "raw/shifts: line": signal.SIGINT,
    "raw/parts: east": signal.SIGTERM,
    "clean: east": signal.SIGINT,
    "base_model: epoch 2": signal.SIGTERM,
    "base_model: 1 done": signal.SIGINT,
    "site_model: east": signal.SIGINT,
    "verdict: east": signal.SIGTERM,
    "release: east": signal.SIGINT,
}
"""What `factory run` tells as it comes to a moment, and the signal that it gets then."""


def statuses(home):
    """How the runs of a home ended."""
    with opened_instance(home / "dagster") as instance:
        return {run.status.value for run in instance.get_runs()}


def models(toy):
    """The digest of every model, and what each plant has released, in order."""
    base = toy.journal.latest("base_model")[LINE_SITE].figures["digest"]
    tuned = {site: entry.figures["digest"] for site, entry in toy.journal.latest("site_model").items()}
    released = {site: [one.digest for one in toy.repository.history(model_name(NAME, site))] for site in SITES}
    return base, tuned, released


def rows(toy, table):
    """A lake table's keys, sorted; one that is there twice shows."""
    return sorted(toy.lake.scan(table).select("site", "part").collect().rows())


@pytest.mark.slow
def test_a_run_stopped_at_every_stage_ends_where_an_undisturbed_one_does(project, tmp_path):
    undisturbed_toy, toy = ToyFactory(tmp_path / "undisturbed"), ToyFactory(tmp_path / "stopped")
    assert undisturbed_toy.run() == 0
    for moment, number in MOMENTS.items():
        code, told = pressed(project, toy.home, at=moment, number=number)
        assert code == 128 + number, moment
        assert told.rstrip().endswith(f"go on with `factory run {NAME} --home {toy.home}`"), moment
        assert statuses(toy.home) <= {"SUCCESS", "CANCELED"}, moment
        for site in SITES:  # what is served, if anything is, is whole
            model = model_name(NAME, site)
            if toy.repository.current(model):
                toy.repository.load(model, toy.store.key().public_key())
    assert toy.run() == 0
    assert models(toy) == models(undisturbed_toy)
    for table in ("raw/parts", "clean", "features", "baseline"):
        assert rows(toy, table) == rows(undisturbed_toy, table), table


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project whose `definitions.py` runs the toy line, for `factory run` to find."""
    return toy_project(tmp_path_factory.mktemp("project"))


def test_ctrl_c_in_a_terminal_stops_a_run_with_130_and_a_later_one_kills_what_the_next_run_buries(project, tmp_path):
    ToyFactory(tmp_path)  # makes the database
    code, told = pressed(project, tmp_path, at="raw/parts: ")
    assert code == 130
    assert f"nothing is half done: go on with `factory run press_faults --home {tmp_path}`" in told
    assert "Interrupted" not in told  # no word of the orchestrator's, and no stack
    assert statuses(tmp_path) <= {"SUCCESS", "CANCELED"}
    code, told = pressed(project, tmp_path, at="raw/parts: ", again_after_s=1.1)
    assert code == 130
    assert "killed at once" in told or "nothing is half done" in told
    assert pressed(project, tmp_path, at="raw/shifts: ")[0] == 130
    assert statuses(tmp_path) <= {"SUCCESS", "CANCELED"}


def test_a_signal_that_comes_twice_at_once_as_timeout_sends_it_stops_a_run_once(project, tmp_path):
    ToyFactory(tmp_path)  # makes the database
    code, told = pressed(project, tmp_path, at="raw/parts: ", number=signal.SIGTERM, again_after_s=0.0)
    assert code == 143
    assert "nothing is half done" in told
    assert statuses(tmp_path) <= {"SUCCESS", "CANCELED"}


def pressed(project, home, *, at, number=signal.SIGINT, again_after_s=None):
    """Type `factory run` and press Ctrl-C, or twice, when it tells of something: exit code and all it told."""
    command = [Path(sys.executable).with_name("factory"), "run", NAME, "--home", str(home)]
    wide = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    told = ""
    with subprocess.Popen(
        command, cwd=project, env=wide, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout:
            told += line
            if line.startswith(at):
                break
        process.send_signal(number)
        if again_after_s is not None:
            time.sleep(again_after_s)
            process.send_signal(number)
        told += process.stdout.read()
        return process.wait(timeout=600), told


class Spinners:
    """Four processes that keep the machine busy."""

    def __enter__(self):
        self.busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
        return self

    def __exit__(self, *_):
        for process in self.busy:
            process.kill()
            process.wait()


def hears(process):
    """Whether a process has a handler for SIGTERM by now: Python has reached our entry point."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:
        return False
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def interrupted(project, home, after_s, number, *, at_entry):
    """Start `factory run` and signal it so long after it exists, or reached our entry point: exit code and words."""
    command = [Path(sys.executable).with_name("factory"), "run", NAME, "--home", str(home)]
    wide = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=project, env=wide, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        while at_entry and process.poll() is None and not hears(process):
            time.sleep(0.001)
        time.sleep(after_s)
        process.send_signal(number)
        told = process.communicate(timeout=600)[0]
    return process.returncode, told


def require_on_record(home, context):
    """Every run on record is over and is canceled or went through; there may be none."""
    if (home / "dagster").exists():
        assert statuses(home) <= {"SUCCESS", "CANCELED"}, context


@pytest.mark.slow
def test_a_signal_at_any_moment_from_the_entry_point_on_ends_with_its_code_and_a_word(project, tmp_path):
    """On a busy machine; between two of them nothing is left behind that hinders the next run."""
    home, chance = ToyFactory(tmp_path).home, np.random.default_rng()
    moments = [0.0, 0.0, 0.0, *(chance.uniform(0, 1) for _ in range(5)), *(chance.uniform(1, 40) for _ in range(10))]
    with Spinners():
        for after_s in moments:
            number = int(chance.choice([signal.SIGINT, signal.SIGTERM]))
            code, told = interrupted(project, home, after_s, number, at_entry=True)
            context = (after_s, number, code, told[-2000:])
            require_on_record(home, context)
            if code == 0:  # it was over by then
                assert "Summary" in told or "Nothing changed" in told, context
                continue
            assert code == 128 + number, context
            assert "nothing is half done" in told, context
    assert ToyFactory(home).run() == 0


@pytest.mark.slow
def test_a_signal_as_soon_as_the_process_exists_leaves_nothing_half_made(project, tmp_path):
    """Python itself may not be up yet, and then ends as any program does."""
    home, chance = ToyFactory(tmp_path).home, np.random.default_rng()
    with Spinners():
        for after_s in [0.0, *(chance.uniform(0, 0.5) for _ in range(7))]:
            number = int(chance.choice([signal.SIGINT, signal.SIGTERM]))
            code, told = interrupted(project, home, after_s, number, at_entry=False)
            context = (after_s, number, code, told[-2000:])
            assert code in (-number, 128 + number), context
            assert code < 0 or "nothing is half done" in told, context
            require_on_record(home, context)
    assert pressed(project, home, at="clean: ")[0] == 130  # and the next run begins


@pytest.fixture
def instance(tmp_path):
    with opened_instance(tmp_path / "dagster") as instance:
        yield instance


def started_run(instance, again=None, **tags):
    """A run on record as under way, perhaps one that goes on with an earlier one."""
    of = {"parent_run_id": again, "root_run_id": again} if again else {}
    with dg.DagsterInstance.ephemeral():
        run = instance.create_run_for_job(dg.GraphDefinition(name="nothing").to_job(), tags=tags, **of)
    instance.report_run_canceling(run)
    return run.run_id


def test_only_runs_of_the_line_whose_process_is_dead_are_buried(instance):
    with launch_lock(instance) as name:
        alive = started_run(instance, **{"line": NAME, LAUNCH: name})
        dead = started_run(instance, **{"line": NAME, LAUNCH: "gone"})
        started_run(instance, **{"line": "another", LAUNCH: "gone"})
        started_run(instance, line=NAME)  # launched from the UI, which looks after it
        started_run(instance, again=dead, **{"line": NAME, LAUNCH: "gone"})  # retried there, with the tags of the first
        assert cancel_dead_runs(instance, NAME) == [dead]
        assert instance.get_run_by_id(dead).status is dg.DagsterRunStatus.CANCELED
        assert instance.get_run_by_id(alive).status is not dg.DagsterRunStatus.CANCELED
    assert cancel_dead_runs(instance, NAME) == [alive]


def test_a_signal_that_another_handler_swallowed_is_known_all_the_same():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Interrupts() as interrupts:
            interrupts.obey()
            signal.signal(signal.SIGTERM, lambda *_: None)
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):
                if interrupts.received:
                    break
                time.sleep(0.001)
            with pytest.raises(KeyboardInterrupt):
                interrupts.obey()
            assert interrupts.signal() == signal.SIGTERM
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_what_must_not_be_left_half_made_is_finished_first(request):
    done = []
    # A shell starts what runs in the background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    def make():
        with signals_deferred():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("finished")

    with pytest.raises(KeyboardInterrupt):
        make()
    assert done == ["finished"]


def test_a_signal_that_had_to_wait_is_counted_once():
    """A wait longer than a person's patience must not make a second Ctrl-C of the first, which would kill."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno())
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), signals_deferred():
            signal.raise_signal(signal.SIGINT)
        assert ours.recv(8) == bytes([signal.SIGINT])
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.set_wakeup_fd(before)
        ours.close()
        theirs.close()


def test_a_signal_that_a_library_swallowed_stops_the_run_before_its_next_step(tmp_path):
    toy, asked = ToyFactory(tmp_path), []

    def obey():
        asked.append(True)
        if len(asked) > 2:
            raise KeyboardInterrupt

    with opened_instance(tmp_path / "dagster") as instance:
        launcher = LineLauncher(
            definitions=toy.definitions(), instance=instance, interruptions=Interruptions(obey=obey)
        )
        with pytest.raises(Stopped):
            launcher.run(LineRequest(line=NAME, sites=("north",)), lambda _: None)
    assert statuses(tmp_path) == {"CANCELED"}
    assert toy.journal.latest("features") == {}
