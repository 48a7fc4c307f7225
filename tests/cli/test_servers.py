"""`factory ui`, `registry`, `serve` as real processes: a taken port, and a signal that ends everything they started."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.gateway.builders import Shop, onnx_model

FACTORY = Path(sys.executable).with_name("factory")
ROOT = Path(__file__).resolve().parents[2]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
PATIENCE_S = 240

SERVER = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(3))
deaf = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; "
child = deaf + "print('up', flush=True); time.sleep(300)"
subprocess.Popen([sys.executable, "-c", child, sys.argv[1]])
time.sleep(300)
"""
"""A server that forgets its child, which takes no hint; all three are up once the child says so."""
RUN = """
import sys
from pathlib import Path
from factory.orchestration.server_process import run_until_stopped
sys.exit(run_until_stopped([sys.executable, *sys.argv[1:]], Path("."), grace_s=2))
"""


def processes(mark):
    """The processes that have this word in their command line; those that are only waited for have none."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if mark.encode() in place.read_bytes():
                found.append(int(place.parent.name))
    return found


def gone(mark):
    """Whether no such process is left, soon."""
    end = time.monotonic() + PATIENCE_S
    while processes(mark) and time.monotonic() < end:
        time.sleep(0.05)
    return not processes(mark)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_server_and_what_it_forgot(tmp_path, number):
    mark = f"mark-{tmp_path.name}-{os.getpid()}"
    command = [sys.executable, "-c", RUN, "-c", SERVER, mark]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as runner:
        assert runner.stdout.readline() == "up\n"
        assert len(processes(mark)) == 3
        runner.send_signal(number)
        assert runner.wait(PATIENCE_S) == 0
    assert gone(mark)


def test_a_server_that_ends_by_itself_has_its_own_exit_code_and_leaves_nothing(tmp_path):
    mark = f"mark-{tmp_path.name}-{os.getpid()}"
    ends = SERVER.replace("time.sleep(300)\n", "sys.exit(7)\n").replace(
        "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; ", ""
    )
    done = subprocess.run([sys.executable, "-c", RUN, "-c", ends, mark], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 7
    assert gone(mark)


@pytest.mark.parametrize("words", [["ui"], ["registry"], ["serve"], ["serve", "--workers", "2"]], ids=" ".join)
def test_a_taken_port_is_one_line_and_exit_code_2_and_nothing_is_started(tmp_path, words):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [FACTORY, *words, "--port", str(port), "--home", str(tmp_path / "home")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    *logged, told = done.stderr.splitlines()
    assert re.match(rf"CannotListen: cannot listen on 127.0.0.1:{port}: Address already in use", told)
    assert not [line for line in logged if "Traceback" in line]
    if words != ["serve"]:
        assert not logged
    assert not (tmp_path / "home" / "dagster").exists()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_gateway_with_all_its_workers(tmp_path, number):
    Shop(tmp_path / "home").release(onnx_model())
    command = [FACTORY, "serve", "--workers", "2", "--port", "0", "--home", str(tmp_path / "home")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True) as gateway:
        while "workers answer on" not in gateway.stderr.readline():
            assert gateway.poll() is None, "it ended"
        members = children(gateway.pid)
        assert len(members) == 2
        gateway.send_signal(number)
        gateway.stderr.read()
        assert gateway.wait(PATIENCE_S) == 0
    assert not [pid for pid in members if Path(f"/proc/{pid}/cmdline").exists()]


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", ["ui", "registry"])
def test_a_signal_ends_a_ui_with_all_its_servers(tmp_path, command, number):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [FACTORY, command, "--port", str(port), "--home", str(tmp_path / "home")]
    log = (tmp_path / "log").open("w")
    with log, subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log) as server:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.2)
        (group,) = {os.getpgid(child) for child in children(server.pid)}
        server.send_signal(number)
        assert server.wait(PATIENCE_S) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
