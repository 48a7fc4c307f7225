"""A real PostgreSQL for tests, in a folder of its own; skipped where the machine has none."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "correct-horse"  # noqa: S105  of a server that lives for these tests
_FOLDER = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), "")
_INITDB = shutil.which("initdb", path=f"{_FOLDER}:{os.environ['PATH']}")
needs_postgres = pytest.mark.skipif(_INITDB is None, reason="no PostgreSQL on this machine: apt-get install postgresql")


@contextmanager
def running() -> Iterator[int]:
    """Run a server whose user `boss` has the password; give its port."""
    # Not in pytest's own folder, which each start of pytest closes to all users but its own.
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        yield from _running(Path(folder))


def _running(folder: Path) -> Iterator[int]:
    (folder / "password").write_text(PASSWORD)
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        for place in (folder, folder / "password"):
            shutil.chown(place, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = str(folder / "data")
    _said([str(_INITDB), "-D", data, "-U", "boss", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}"])
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    control = str(Path(str(_INITDB)).with_name("pg_ctl"))
    _said([control, "-D", data, "-w", "-t", "180", "-l", str(folder / "log"), "-o", settings, "start"])
    try:
        yield port
    finally:
        _said([control, "-D", data, "-m", "immediate", "stop"])


def _said(words: Sequence[str]) -> None:
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    # The server inherits what it is started with: a pipe would never end.
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run([*user, *words], check=False, stdout=said, stderr=said, cwd="/")
        said.seek(0)
        assert done.returncode == 0, said.read()
