"""How a gateway of several workers begins and ends, and that it goes on when one cannot be started."""

import fcntl
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from factory.errors import FactoryError
from factory.gateway.processes.all_workers import LOCK
from factory.gateway.processes.server import Server
from factory.gateway.processes.supervisor import WORKER, Supervisor
from factory.gateway.processes.worker_config import Membership, WorkerConfig
from factory.gateway.settings import Settings
from tests.gateway.builders import eventually, running
from tests.gateway.several_workers import (
    INFER,
    ONE_ROW,
    ROOT,
    WORKERS,
    came_back,
    environment,
    refused,
    released,
    serving,
    starting,
)

HEAVY = {"numpy", "onnxruntime", "cryptography", "uvloop", "httptools", "grpc"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return released(tmp_path_factory.mktemp("home"))


def test_told_to_end_all_workers_answer_what_is_under_way_and_leave_nothing(tmp_path):
    with temporary_files() as temporary:
        with serving(released(tmp_path)) as served:
            (folder,) = temporary.glob("gateway-*")
            assert folder.stat().st_mode & 0o777 == 0o700
            workers, body = served.workers, str(ONE_ROW).replace("'", '"').encode()
            head = f"POST {INFER} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            with socket.create_connection(("127.0.0.1", served.port)) as under_way:
                under_way.sendall(head + body[:5])
                time.sleep(0.2)  # the worker has begun to read it
                served.process.send_signal(signal.SIGTERM)
                time.sleep(0.3)  # it has met the signal
                under_way.sendall(body[5:])
                answer = b"".join(iter(lambda: under_way.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 200")
            assert served.process.wait(20) == 0
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
        assert not folder.exists()
        assert not served.told("Traceback")


@contextmanager
def temporary_files():
    """A folder for all temporary files, the gateway's too."""
    with tempfile.TemporaryDirectory() as temporary, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", temporary)
        yield Path(temporary)


@contextmanager
def ending(workers):
    """All of these must have ended soon after the body; none is left behind."""
    try:
        yield
        eventually(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    finally:
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


def test_workers_end_when_their_supervisor_is_killed(tmp_path):
    with temporary_files(), serving(released(tmp_path)) as served, ending(served.workers):
        served.process.kill()
        served.process.wait()


def test_workers_that_still_start_end_too_when_their_supervisor_is_killed(tmp_path):
    with temporary_files() as temporary, starting(released(tmp_path)) as served:
        eventually(lambda: list(temporary.glob("gateway-*")))
        with (next(temporary.glob("gateway-*")) / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # no worker begins without it
            eventually(lambda: [has_open(worker, LOCK) for worker in served.workers] == [True] * WORKERS)
            with ending(served.workers):
                served.process.kill()
                served.process.wait()
                fcntl.flock(lock, fcntl.LOCK_UN)


def has_open(process, name):
    with suppress(FileNotFoundError):  # closed meanwhile
        return any(place.readlink().name == name for place in Path(f"/proc/{process}/fd").iterdir())
    return False


def test_a_worker_that_can_tell_nobody_that_it_answers_ends(tmp_path):
    shop = released(tmp_path / "home")
    membership = Membership(number=1, workers=1, folder=tmp_path)
    orders = WorkerConfig(
        models=shop.home / "models", public_key=shop.public, settings=Settings(port=0), membership=membership
    )
    words, pipe = [sys.executable, "-P", "-m", WORKER], subprocess.PIPE
    with subprocess.Popen(
        words, cwd=ROOT, env=environment(), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    ) as worker:
        try:
            worker.stdout.close()
            worker.stdin.write(orders.to_json() + b"\n")
            worker.stdin.flush()
            assert worker.wait(20) == 0
        finally:
            worker.kill()


def test_a_server_told_to_stop_before_it_begins_ends_at_once(shop):
    server = Server(shop.home / "models", shop.public, Settings(port=0))
    server.stop()
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    thread.join(10)
    try:
        assert not thread.is_alive()
    finally:
        server.stop()


def test_a_server_told_to_stop_when_it_has_ended_stays_ended(shop):
    with running(shop) as server:
        pass
    server.stop()


def test_where_no_worker_can_be_started_that_is_told(shop, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    supervisor = Supervisor(shop.home / "models", shop.public, Settings(port=0), WORKERS)
    with pytest.raises(FactoryError, match=r"^worker \d could not be started: .*/nowhere/python"):
        supervisor.run()


def test_a_worker_that_the_system_has_no_room_for_is_tried_again_and_the_others_go_on(shop):
    with serving(shop) as served:
        supervisor, (killed, other) = served.process.pid, served.workers
        limits = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (3, limits[1]))
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: len(pauses(served)) >= 3)
        assert served.told("could not be started: [Errno 24] Too many open files")
        assert served.workers == [other]
        with served.client() as client:
            assert client.post(INFER, json=ONE_ROW).status_code == 200
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, limits)
        eventually(lambda: came_back(served, killed))
        assert other in served.workers
        assert not served.told("Traceback")


@pytest.mark.parametrize("shared", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_a_port_that_another_program_has_is_told_once(shop, shared):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, shared, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (said,) = refused(shop, "--port", str(port)).splitlines()
    assert re.match(rf"CannotListen: cannot listen on 127.0.0.1:{port}: .*in use; choose another --port", said)


def test_what_keeps_the_workers_from_beginning_is_told_once(tmp_path):
    shop = released(tmp_path)
    shop.public.unlink()
    (said,) = refused(shop, "--port", "0").splitlines()
    assert re.match(r"ModelRefused: .*release\.pub", said)


def test_the_supervisor_loads_nothing_that_answers():
    code = "import sys, factory.cli.app, factory.gateway.processes.supervisor; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert not HEAVY & set(told.stdout.split())


@pytest.mark.slow
def test_a_worker_that_cannot_come_back_is_tried_again_ever_more_seldom(tmp_path):
    shop = released(tmp_path)
    with serving(shop) as served:
        key = shop.public.read_bytes()
        shop.public.unlink()
        os.kill(served.workers[0], signal.SIGKILL)
        eventually(lambda: len(pauses(served)) == 4)
        assert pauses(served) == ["0.2", "0.4", "0.8", "1.6"]
        assert served.told("release.pub")
        for _ in range(50):
            with served.client() as new:
                assert new.post(INFER, json=ONE_ROW).status_code == 200
        shop.public.write_bytes(key)
        eventually(lambda: came_back(served, 0))


def pauses(served):
    return [found[1] for line in served.log if (found := re.search(r"the next one starts in ([\d.]+) s", line))]
