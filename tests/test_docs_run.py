"""What the pages tell people to type works: blocks marked `run`, in order, in a project made by the tutorial.

A fenced block is marked in its first line: `bash run` is run by a shell, `python run` by Python, and `python
file=NAME` is written to that file. The tutorial begins in an empty folder; each how-to page begins where it ends.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

from tests.test_docs import DOCS, FENCE

pytestmark = pytest.mark.slow
HOW_TO = sorted(
    page
    for page in (DOCS / "how-to").glob("*.md")
    if re.search(r"^```+(bash|python) run$", page.read_text(), re.MULTILINE)
)


def free_port():
    """A port that nobody has."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def script(page):
    """A page as one shell script: what it saves, and what it runs."""
    found = [(words.split(), text) for _, _, words, text in FENCE.findall(page.read_text()) if len(words.split()) == 2]
    marked = [(language, how, text) for (language, how), text in found if how == "run" or how.startswith("file=")]
    parts = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for (language, how), group in groupby(marked, key=lambda one: one[:2]):
        text = "\n".join(text for _, _, text in group)
        if how.startswith("file="):
            text = f"cat > {how.removeprefix('file=')} <<'END_OF_FILE'\n{text}END_OF_FILE\n"
        elif language == "python":
            text = f"python - <<'END_OF_FILE'\n{text}END_OF_FILE\n"
        parts.append(text)
    return "\n".join(parts).replace("8080", str(free_port()))


def typed(page, folder, path):
    """Run a page's commands in a folder, as somebody would who has no other setting."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FACTORY", "DAGSTER"))}
    plain |= {"PATH": path, "COLUMNS": "120"}
    done = subprocess.run(
        ["/bin/bash", "-c", script(page)],
        cwd=folder,
        env=plain,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, f"{page.name}: {done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def path(environment):
    """Where commands are found: the library from its wheel, and what it needs."""
    return f"{environment}:{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory, path):
    """The project that the tutorial makes, what it printed, and a copy of the project to begin from."""
    folder = tmp_path_factory.mktemp("tutorial")
    printed = typed(DOCS / "tutorial.md", folder, path)
    shutil.copytree(folder / "ours", folder / "begun", symlinks=True)
    return folder, printed


def status(project, path):
    """What each shop has and serves."""
    words = ["factory", "status", "--json", "--home", ".factory"]
    done = subprocess.run(
        words, cwd=project, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)["lines"]["orders"]["sites"]


def test_the_tutorial_ends_with_a_line_that_is_served_and_runs_by_schedule(tutorial, path):
    folder, printed = tutorial
    sites = status(folder / "ours", path)
    assert {site for site, state in sites.items() if state["serving"]} == {"ulm", "bonn", "kiel", "graz"}
    assert not sites["linz"]["verdict"]["passed"]
    answer, _ = json.JSONDecoder().raw_decode(printed[printed.index('{"line":"orders"') :])
    assert answer["rows"][0]["decision"] is True
    assert "Started schedule orders_calendar" in printed
    assert "Nothing changed: every stage is up to date for every site." in printed


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_what_a_how_to_page_says_works(tutorial, path, page):
    folder, _ = tutorial
    project = folder / "ours"  # always the same place, for MLflow keeps absolute paths
    shutil.rmtree(project)
    shutil.copytree(folder / "begun", project, symlinks=True)
    typed(page, project, path)
    assert status(project, path)["ulm"]["serving"]
