"""The command line as a newcomer meets it: help on everything, its order, its version, its width, its exit codes."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from factory.cli.app import PANELS, app
from factory.errors import FactoryError
from factory.storage.home import Home
from tests.toy.line import NAME
from tests.toy.project import toy_project

FACTORY = Path(sys.executable).with_name("factory")
ROOT = Path(__file__).resolve().parents[2]


def tree(command, words=()):
    """Every command and group, by the words that name it."""
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from tree(below, (*words, name))


TREE = dict(tree(typer.main.get_command(app)))


def typed(*words, columns=80, folder=ROOT, home=None, **variables):
    """Exit code, output and errors of a command typed into a terminal of so many columns."""
    known = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment = {**known, "COLUMNS": str(columns), "NO_COLOR": "1", "HOME": str(home or folder), **variables}
    done = subprocess.run(
        [FACTORY, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", TREE, ids=" ".join)
def test_every_command_argument_and_option_says_what_it_is(words):
    command = TREE[words]
    assert command.help, "the command itself"
    for given in command.params:
        assert getattr(given, "help", None), f"{given.name} of factory {' '.join(words)}"


@pytest.mark.parametrize("words", TREE, ids=" ".join)
def test_help_is_had_by_h_on_every_command_and_fits_80_columns(words):
    done = CliRunner().invoke(app, [*words, "-h"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1"})
    assert done.exit_code == 0
    assert "Usage:" in done.output
    assert max(map(len, done.output.splitlines())) <= 80
    assert "…" not in re.sub("X-Forwarded-…|reason …", "", done.output), "a word is cut"


def test_commands_stand_in_the_order_of_their_use():
    shown = CliRunner().invoke(app, ["-h"], env={"COLUMNS": "80"}).output
    panels = re.findall(r"╭─ (.+?) ─", shown)
    assert [panel for panel in panels if panel in PANELS] == list(PANELS)
    names = re.findall(r"^│ (\w+) ", shown, re.MULTILINE)
    wanted = [
        one.info.name if isinstance(one, typer.Typer) else one.__name__ for some in PANELS.values() for one in some
    ]
    assert names == wanted
    assert sorted(wanted) == sorted(TREE[()].commands)  # none is left out


def test_the_version_is_that_of_the_package():
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"factory {version('ai-factory')}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_once_completion_is_installed(tmp_path, shell):
    code, out, errors = typed(
        "--install-completion", shell, home=tmp_path, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    assert code == 0, errors
    assert f"{shell} completion installed" in out
    assert any("_FACTORY_COMPLETE" in file.read_text() for file in tmp_path.rglob("*") if file.is_file())


def test_completion_knows_commands_lines_and_sites(tmp_path):
    def completed(*words):
        typed_so_far = " ".join(["factory", *words])
        ask = {"_FACTORY_COMPLETE": "complete_bash", "COMP_WORDS": typed_so_far, "COMP_CWORD": str(len(words))}
        return typed(**ask, FACTORY_HOME=str(tmp_path / "home"))[1].split()

    assert completed("roll") == ["rollback", "rollout"]
    assert completed("run", "dep") == ["departure_delay"]
    history = tmp_path / "home" / "history"
    history.mkdir(parents=True)
    (history / "departure_delay.UA.jsonl").touch()
    assert completed("history", "U") == ["UA"]


NO_FOLDER = "is a file: name another with --home"
DECIDED = ("--by", "lena", "--reason", "x")
ASKED_WRONGLY = {
    "a line mistyped": (["run", "press_fault"], "there is no line 'press_fault'; did you mean press_faults?"),
    "a site mistyped": (
        ["run", NAME, "--sites", "North"],
        "no site 'North', nor has its source; did you mean north?",
    ),
    "a site of a demo": (
        ["demo", NAME, "--site", "noth"],
        "no site 'noth', nor has its source; did you mean north",
    ),
    "a site to operate": (
        ["operate", NAME, "--sites", "north,est"],
        "site 'est', nor has its source; did you mean east",
    ),
    "a pilot": (["rollout", NAME, *DECIDED, "--pilot", "est"], "pilot 'est' is no site of the line; did you mean east"),
    "a line to roll out": (["rollout", "press", *DECIDED], "there is no line 'press'; did you mean press_faults?"),
    "a line to test back": (["backtest", "press", "--from", "2026-01-01", "--to", "2026-02-01"], "mean press_faults?"),
    "a line to fetch": (["fetch", "press"], "there is no line 'press'; did you mean press_faults?"),
    "a line with sites": (["site", "list", "press"], "there is no line 'press'; did you mean press_faults?"),
    "a site to add": (["site", "add", NAME, "wst"], f"factory site add {NAME} wst --new --home"),
    "a site to remove": (
        ["site", "remove", NAME, "est", *DECIDED],
        "site 'est', nor has its source; did you mean east",
    ),
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The toy line's project as the working folder; what a command tells child processes ends with the test."""
    for name in ("FACTORY_HOME", "FACTORY_LAKE", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.chdir(toy_project(tmp_path / "project"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path / "project"


@pytest.mark.parametrize("case", ASKED_WRONGLY)
def test_what_is_asked_wrongly_is_one_sentence_before_anything_starts(tmp_path, project, case):
    words, told = ASKED_WRONGLY[case]
    done = CliRunner().invoke(app, [*words, "--home", str(tmp_path / "home")])
    assert isinstance(done.exception, FactoryError)
    assert done.stdout == ""
    assert told in str(done.exception)
    assert len(str(done.exception).splitlines()) == 1
    for made in ("models", "work", "history"):
        assert not (tmp_path / "home" / made).exists(), made
    assert not list((tmp_path / "home").rglob("backtest.txt"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["turbofan"], "No such command 'turbofan'."),
        (["status", "turbofan"], "there is no line 'turbofan'; did you mean turbofan_rul?"),
        (["run"], "Missing argument 'LINE'."),
    ],
)
def test_asked_wrongly_is_exit_code_2(tmp_path, words, told):
    code, out, errors = typed(*words, columns=200, FACTORY_HOME=str(tmp_path))
    assert (code, out) == (2, "")
    assert told in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("words", [["status"], ["run", "departure_delay"], ["serve"]])
def test_a_home_that_is_a_file_is_one_sentence(tmp_path, words):
    (tmp_path / "taken").write_text("")
    code, out, errors = typed(*words, "--home", str(tmp_path / "taken" / "home"))
    assert (code, out) == (2, "")
    assert NO_FOLDER in errors
    assert len(errors.splitlines()) == 1


def test_the_default_home_is_beside_definitions_wherever_in_the_project_one_stands(tmp_path, monkeypatch):
    below = tmp_path / "lines" / "presses" / "notebooks"
    below.mkdir(parents=True)
    (tmp_path / "definitions.py").touch()
    for folder in (tmp_path, tmp_path / "lines", below):
        monkeypatch.chdir(folder)
        assert Home.found({}).root == tmp_path / ".factory"
    assert typed("key", "add", "erp", folder=below)[0] == 0
    assert (tmp_path / ".factory" / "keys" / "gateway.json").is_file()


def test_status_of_one_line_is_of_that_line_alone_and_says_what_to_do_where_it_has_not_run(tmp_path):
    code, out, _ = typed("status", "turbofan_rul", "--home", str(tmp_path))
    assert (code, out) == (0, f"Nothing has run yet of turbofan_rul: factory run turbofan_rul --home {tmp_path}\n")
    assert typed("status", "turbofan_rul", "--json", "--home", str(tmp_path))[:2] == (0, '{\n  "lines": {}\n}\n')
