"""A real MariaDB for tests, in a folder of its own; skipped where the machine has none."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "correct-horse"  # noqa: S105  of a server that lives for these tests
_SERVER, _INSTALL = (
    shutil.which(name, path=f"/usr/sbin:{os.environ['PATH']}") for name in ("mariadbd", "mariadb-install-db")
)
needs_mariadb = pytest.mark.skipif(
    _SERVER is None or _INSTALL is None, reason="no MariaDB on this machine: apt-get install mariadb-server"
)


@contextmanager
def running() -> Iterator[int]:
    """Run a server whose user `boss` has the password and may do all; give its port."""
    # Not in pytest's own folder, which each start of pytest closes to all users but its own.
    with tempfile.TemporaryDirectory(prefix="mariadb-", ignore_cleanup_errors=True) as folder:
        yield from _running(Path(folder))


def _running(folder: Path) -> Iterator[int]:
    as_user = []
    if os.geteuid() == 0:  # which MariaDB refuses to run as
        shutil.chown(folder, "mysql", "mysql")
        as_user = ["--user=mysql"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "start.sql").write_text(  # a statement a line
        f"CREATE DATABASE shop;\nCREATE USER boss@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
        "GRANT ALL ON *.* TO boss@'127.0.0.1' WITH GRANT OPTION;\n"
    )
    data = [
        "--no-defaults",
        *as_user,
        f"--datadir={folder / 'data'}",
        f"--tmpdir={folder}",
    ]  # TMPDIR may be somebody else's
    made = subprocess.run(
        [str(_INSTALL), *data, "--skip-test-db", "--auth-root-authentication-method=normal"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    settings = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 'socket'}", "--skip-name-resolve"]
    quick = [f"--init-file={folder / 'start.sql'}", "--innodb-flush-log-at-trx-commit=0"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([str(_SERVER), *data, *settings, *quick], stdout=log, stderr=log, cwd="/")
    try:
        _wait_for(server, folder / "log")
        yield port
    finally:
        server.terminate()
        server.wait(60)


def _wait_for(server: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 180
    while "ready for connections" not in log.read_text():  # which it says once it has done what `start.sql` asks
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)
