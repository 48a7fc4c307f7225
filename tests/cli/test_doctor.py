"""The doctor on this machine, and on one that lacks something: what is found, and the exit code that follows."""

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from factory.cli.doctor import Finding, lacks
from tests.registry.test_registry import candidate
from tests.toy.line import empty_database, registry_at

ROOT = Path(__file__).resolve().parents[2]
FACTORY = Path(sys.executable).with_name("factory")
AS_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


def doctor(home, folder=ROOT, words=(), **environment):
    """The exit code, and what was found of each thing."""
    told = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [FACTORY, "doctor", "--json", "--home", str(home), *words]
    done = subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True, timeout=120, check=False)
    answer = json.loads(done.stdout)
    assert answer["fine"] is (done.returncode == 0)
    return done.returncode, {finding["thing"]: finding for finding in answer["findings"]}


EMPTY = "import dagster as dg\ndefs = dg.Definitions()\n"


def presses(*lacks):
    """Definitions of one line, whose source lacks something."""
    return (
        "import dagster as dg\nfrom factory.orchestration.line_source import LineSource\n"
        "class Presses(LineSource):\n"
        "    def __init__(self): pass\n"
        f"    def lacking(self): return {list(lacks)!r}\n"
        "defs = dg.Definitions(resources={'presses_source': Presses()})\n"
    )


def project(folder, definitions):
    """A project with these definitions."""
    (folder / "lines").mkdir(parents=True)
    (folder / "definitions.py").write_text(definitions)
    return folder


def test_this_machine_has_what_is_needed_and_nothing_is_left_in_home(tmp_path):
    home = tmp_path / "home"
    code, found = doctor(home, project(tmp_path / "p", presses()))
    assert code == 0
    assert {"python", "cores", "memory", "home writable", "engine", "torch build", "port 3000"} <= set(found)
    assert found["SQLite with a write-ahead log in home"]["found"] == "works"
    assert found["file locks in home"]["found"] == "works"
    assert "wants <1.45,>=1.35" in found["polars"]["found"]
    assert found["engine"]["found"] == "gpu" or "not gpu, for " in found["engine"]["found"]
    assert found["data of presses"]["found"] == "present"
    assert not home.exists()


def test_another_package_that_owns_the_import_name_is_a_lack(tmp_path):
    """As `factory_boy` does: whatever is installed last has overwritten files of the other."""
    site = tmp_path / "site"
    other = site / "factory_boy-3.3.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: factory_boy\nVersion: 3.3.0\n")
    (other / "top_level.txt").write_text("factory\n")
    (other / "RECORD").write_text("factory/__init__.py,,\n")
    path = f"{site}:{os.environ.get('PYTHONPATH', '')}"
    code, found = doctor(tmp_path / "home", project(tmp_path / "p", presses()), PYTHONPATH=path)
    assert code == 1
    assert "`import factory` belongs to factory_boy too" in found["import name"]["found"]


def test_the_shipped_lines_load_and_each_is_told_with_its_data(tmp_path):
    _, found = doctor(tmp_path, FACTORY_DATA=str(tmp_path / "no data here"))
    lines = sorted(place.parent.name for place in (ROOT / "lines").glob("*/defs.yaml"))
    assert all(found[f"line {line}"]["found"] == "loads" for line in lines)
    assert all(f"data of {line}" in found for line in lines)
    assert found["data of departure_delay"]["fine"]


def test_data_that_is_missing_is_told_with_how_to_get_it_and_is_no_lack(tmp_path):
    lacks = "parts.csv is missing; run `factory fetch presses`"
    code, found = doctor(tmp_path / "home", project(tmp_path / "p", presses(lacks)))
    assert code == 0
    assert not found["data of presses"]["fine"]
    assert found["data of presses"]["found"] == "parts.csv is missing; run `factory fetch presses`"


def test_lines_that_do_not_load_are_a_lack_with_the_reason(tmp_path):
    code, found = doctor(tmp_path / "home", project(tmp_path / "p", "raise SystemError('the wheels came off')"))
    assert code == 1
    assert "the wheels came off" in found["lines"]["found"]


def test_outside_a_project_the_library_s_own_checkout_is_looked_at(tmp_path):
    code, found = doctor(tmp_path / "home", tmp_path)
    assert code in (0, 1)
    assert "line departure_delay" in found


@AS_ROOT
def test_a_home_that_cannot_be_written_is_a_lack(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    code, found = doctor(locked / "home", project(tmp_path / "p", EMPTY))
    assert code == 1
    assert not found["home writable"]["fine"]


def test_a_port_in_use_is_told_and_is_no_lack(tmp_path):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # where somebody else has it, that is what this is about
            taken.bind(("127.0.0.1", 5000))
            taken.listen()
        code, found = doctor(tmp_path / "home", project(tmp_path / "p", EMPTY))
    assert code == 0
    assert "factory registry --port PORT" in found["port 5000"]["found"]


def test_only_what_is_needed_counts():
    missing = Finding(thing="memory", found="1 GB", fine=False)
    assert lacks([missing])
    assert not lacks([Finding(thing="port", found="in use", fine=False, needed=False)])


def test_a_home_that_was_moved_is_told_of_and_mended_when_asked(tmp_path):
    old, home = tmp_path / "old", tmp_path / "home"
    old.mkdir()
    (old / "mlflow.db").write_bytes(empty_database())
    registry_at(old).register(candidate("north"))
    old.rename(home)
    place = project(tmp_path / "p", presses())
    _, found = doctor(home, place)
    told = found["registry's files"]
    assert f"brewing at {old}/artifacts/brewing instead of {home}/artifacts/brewing" in told["found"]
    assert (told["fine"], told["needed"]) == (False, False)
    _, mended = doctor(home, place, words=("--mend",))
    assert mended["registry's files"]["found"].startswith("mended: the database named those of ")
    assert doctor(home, place)[1]["registry's files"]["fine"]
