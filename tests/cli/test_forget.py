"""`factory forget`, as a person types it, in a project around a line about people."""

import json

import pytest
from typer.testing import CliRunner

from factory.cli.app import app
from factory.data.ingest import ingest
from factory.errors import PersonalDataRefused
from factory.line.file import LineFile
from factory.line.personal import Pseudonyms
from factory.orchestration.line_source import LineSource
from tests.canary import places_of
from tests.toy.clinics.clinics import Clinics, person, visits

KEY = "0123456789abcdef" * 2
SAID = ["--by", "lena", "--reason", "asked"]


@pytest.fixture
def clinics(tmp_path, monkeypatch):
    """A project with the line, and a home whose lake has its raw rows."""
    monkeypatch.setenv("FACTORY_PERSONAL_KEY", KEY)
    clinics = Clinics(tmp_path / "home")
    clinics.deliver()
    (tmp_path / "lines" / "clinics").mkdir(parents=True)
    (tmp_path / "lines" / "clinics" / "defs.yaml").write_text(Clinics.file.read_text())
    (tmp_path / "definitions.py").touch()
    monkeypatch.chdir(tmp_path)
    file = LineFile(Clinics.file)
    sections = file.sections()
    line = file.line(sections)
    source = LineSource(line, file, type(sections.source)(use=sections.source.use, arguments=clinics.source()))
    loaded = ingest(clinics.lake, source, line.decisions, ["north", "south"], line.default_until)
    assert not loaded.failed
    return clinics


def run(clinics, *words):
    return CliRunner().invoke(app, ["forget", "clinics", *words, *SAID, "--home", str(clinics.home)])


def test_a_plan_is_shown_and_then_done_and_names_nobody(clinics, tmp_path):
    rows = len(visits().filter(person=person(7)))
    planned = run(clinics, "--where", f"person = '{person(7)}'", "--plan")
    assert planned.exit_code == 0, planned.output
    assert f"{rows} decisions are about them" in planned.output
    assert places_of(clinics.home, [Pseudonyms(KEY).of(person(7))]) != []
    keys = tmp_path / "keys.csv"
    keys.write_text(f"person\n{person(7)}\n")
    done = run(clinics, "--keys", str(keys))
    assert done.exit_code == 0, done.output
    assert places_of(clinics.home, [Pseudonyms(KEY).of(person(7)), person(7)]) == []
    (receipt,) = (clinics.home / "forgotten" / "clinics").glob("*.json")
    assert json.loads(receipt.read_text())["rows"] == {"raw/visits": rows}
    assert person(7) not in planned.output + done.output


def test_who_is_meant_must_be_said(clinics):
    assert isinstance(run(clinics).exception, PersonalDataRefused)
