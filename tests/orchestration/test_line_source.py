"""Where a line's source finds its data: the line's setting, or what the environment names; and what it lacks."""

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from factory.errors import LineError
from factory.line.file import LineFile
from factory.line.sections import SourceSection
from factory.orchestration.line_source import LineSource
from tests.connectors.file_server import serving
from tests.toy.line import FILE, toy_line
from tests.toy.remote import PACKED

ROOT = Path(__file__).resolve().parents[2]
FLEETS = "lines.turbofan_rul.source:CmapssFiles"


def source(use, **arguments):
    return LineSource(toy_line(), LineFile(FILE), SourceSection(use=use, data_folder="heap", arguments=arguments))


def test_a_source_that_takes_a_data_folder_gets_the_lines_own_from_the_projects_folder():
    assert f"{LineFile(FILE).project / 'heap' / 'cmapss'}" in source(FLEETS, sites=["FD001"]).lacking()[0]


def test_the_environments_data_folder_comes_first(tmp_path):
    fleets = source(FLEETS, sites=["FD001"])
    fleets.bind(tmp_path)
    assert str(tmp_path / "cmapss" / "train_FD001.txt") in fleets.lacking()[0]


def test_a_source_that_takes_no_data_folder_is_given_none():
    presses = source("tests.toy.press_faults.presses:Presses")
    assert presses.sites(toy_line().decisions, datetime(2024, 3, 1)) == ["east", "north", "south"]
    assert presses.lacking() == []


def test_wrong_arguments_are_told_with_file_and_line():
    with pytest.raises(LineError, match=r"defs.yaml:\d+: lines.turbofan_rul.*does not take these arguments.*planes"):
        source(FLEETS, planes=3).lacking()


def test_a_source_with_nothing_to_fetch_says_so():
    with pytest.raises(LineError, match="has nothing to fetch; all it needs is there"):
        source("tests.toy.press_faults.presses:Presses").fetch(print)


def test_a_source_that_can_fetch_brings_its_files_and_then_lacks_nothing(tmp_path):
    with serving() as web:
        remote = source("tests.toy.remote:RemoteParts", address=web.address)
        remote.bind(tmp_path)
        assert remote.lacking() == [f"{tmp_path / 'presses' / 'parts.csv'} is missing"]
        web.files["/parts.zip"] = PACKED
        assert remote.fetch(print) == ["parts.csv"]
    assert remote.lacking() == []


def test_a_package_that_is_not_installed_is_told():
    lacks = source(
        "factory.connectors.packaged_files:PackagedFiles", package="no_such_package_here", files={"parts": "parts.csv"}
    )
    assert "pip install no_such_package_here" in lacks.lacking()[0]


def test_the_environment_variable_binds_every_source_relative_to_the_project(tmp_path):
    code = (
        "import definitions; from factory.orchestration.line_source import line_sources; "
        "print(*{one.data_folder for one in line_sources(definitions.loaded()).values()})"
    )
    told = {**os.environ, "FACTORY_DATA": "heap", "FACTORY_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=told, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(ROOT / "heap")


def test_only_the_composition_root_reads_the_environment():
    """But for a variable that cuBLAS reads, which is set for the time of a training and put back.

    And for the addresses of tables and sinks, and secrets that a line's file names by their variables, and the
    keys of an object store: read where they are used, kept nowhere.
    """
    rooms = [place for room in ("lines", "assets", "resources", "factory") for place in (ROOT / room).rglob("*.py")]
    words = ("os.environ.get", "os.getenv", "os.environ[", "from os import environ")
    found = {place.name for place in rooms if any(word in place.read_text() for word in words)}
    names = ("access", "kinds", "personal", "place", "reader", "remote", "reproducible")
    assert found == {f"{name}.py" for name in names}
