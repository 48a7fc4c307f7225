"""From a table nobody here made to a served model: `factory new line`, `factory run`, one answer of the gateway.

    python benchmarks/new_line.py [--only NAME …]

Each table is a line of its own in a fresh project and a fresh home, through the command line as a person types it.
Prints seconds of each step; a line whose gates refuse its model serves nothing, and the first reason is printed.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.scaffold.others import OTHERS, Other  # noqa: E402  found once the project is on the path

PROJECT = ("definitions.py", "workspace.yaml", "pyproject.toml", "assets", "resources", "factory")
ASKED_FOR_S = 60


def project(folder: Path) -> Path:
    """Return a copy of this project that has no line yet."""
    (folder / "lines").mkdir(parents=True)
    shutil.copy(ROOT / "lines" / "__init__.py", folder / "lines")
    for name in PROJECT:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    return folder


def typed(folder: Path, *words: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Return the seconds that a command takes, and what it said."""
    started = time.perf_counter()
    done = subprocess.run(
        factory(*words), cwd=folder, env=surroundings(folder), capture_output=True, text=True, check=False
    )
    return time.perf_counter() - started, done


def factory(*words: str) -> list[str]:
    """Return the command line of `factory`, of the project it is typed in."""
    return [sys.executable, "-c", "from factory.cli import main; main()", *words]


def surroundings(folder: Path) -> dict[str, str]:
    """Return the environment of a person in the folder."""
    return {**os.environ, "PYTHONPATH": str(folder), "FACTORY_HOME": str(folder / ".factory"), "NO_COLOR": "1"}


def answered(folder: Path, model: str) -> float:
    """Return the seconds from starting the gateway to its first answer of a model."""
    from factory.release.example import write_example
    from factory.storage.home import Home

    example = write_example(Home.at(folder / ".factory"), model)
    assert example is not None
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v2/models/{model}/infer", data=example.read_bytes())
    started = time.perf_counter()
    gateway = subprocess.Popen(
        factory("serve", "--port", str(port)),
        cwd=folder,
        env=surroundings(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while time.perf_counter() - started < ASKED_FOR_S:
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                    json.load(answer)["outputs"]
                    return time.perf_counter() - started
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise TimeoutError(f"{model} was not answered within {ASKED_FOR_S} s")
    finally:
        gateway.terminate()
        gateway.wait()


def measured(name: str, other: Other) -> str:
    """Return one line of the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = project(Path(temporary) / "project")
        table = other.write(folder)
        writing, done = typed(folder, "new", "line", name, *other.words(table))
        if done.returncode:
            return f"{name:<10} factory new line failed: {done.stderr.strip()[-300:]}"
        running, done = typed(folder, "run", name)
        status = json.loads(typed(folder, "status", "--json")[1].stdout)
        sites: dict[str, Any] = status["lines"].get(name, {}).get("sites", {})
        serving = [site for site, found in sites.items() if found.get("serving")]
        reasons = [reason for found in sites.values() for reason in (found.get("verdict") or {}).get("reasons", [])]
        first = answered(folder, f"{name}.{serving[0]}") if serving else float("nan")
        rows = sum(found["rows"]["raw"] for found in sites.values() if found.get("rows"))
    why = f"refused: {reasons[0]}" if reasons else (done.stdout[-300:] + done.stderr[-300:] if not serving else "")
    total = writing + running + first
    return (
        f"{name:<10}{rows:>7,}{other.task:>12}{writing:>8.1f}{running:>8.1f}{first:>8.1f}{total:>8.1f}"
        f"{len(serving):>4} of {len(sites):<4}{why}"
    )


def main(only: list[str]) -> None:
    """Measure each table and print the figures."""
    print(f"{'line':<10}{'rows':>7}{'task':>12}{'new s':>8}{'run s':>8}{'serve s':>8}{'total s':>8}  serving")
    for name in only or OTHERS:
        print(measured(name, OTHERS[name]), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[])
    main(parser.parse_args().only)
