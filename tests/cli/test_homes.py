"""Every command finds the home and its lake in the same way: `--home`, `FACTORY_HOME`, `FACTORY_LAKE`."""

import ast
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from factory.cli.app import app
from factory.pipeline.rollout.sites import LinePlace
from factory.storage.home import Home
from factory.storage.lake_store import LakeStore
from tests.gateway.builders import Shop, onnx_model, verdict

CLI = Path(__file__).resolve().parents[2] / "factory" / "cli"
CONTENT = onnx_model()
WITHOUT_A_HOME = {("new", "project"), ("new", "line"), ("check",), ("schema",)}


def commands(group, words=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", sorted(set(COMMANDS) - WITHOUT_A_HOME), ids=" ".join)
def test_every_command_takes_the_home_from_its_option_or_the_environment(words):
    (option,) = [one for one in COMMANDS[words].params if "--home" in one.opts]
    assert option.envvar == "FACTORY_HOME"
    assert option.default is None  # what is beside definitions.py is found, not what is where one stands
    assert not [one for one in COMMANDS[words].params if "lake" in one.name]


def test_one_function_makes_the_home_of_every_command():
    """So that none can forget where the environment says that the lake is."""
    made = {
        (file.name, ast.unparse(node.func))
        for file in CLI.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"Home", "Home.at", "Home.found"}
    }
    assert made == {
        ("options.py", "Home.found"),
        ("backtest.py", "Home.at"),  # a backtest must not use the real lake
        ("screen.py", "Home.found"),  # is it the default, which need not be typed?
    }


def test_none_but_options_and_the_backtest_read_the_environment():
    reading = {file.name for file in CLI.glob("*.py") if "os.environ" in file.read_text(encoding="utf-8")}
    assert reading == {"options.py", "backtest.py"}


@pytest.fixture
def far(tmp_path):
    """A home with a release, and the lake that judged its candidate elsewhere."""
    shop = Shop(tmp_path / "home")
    shop.release(CONTENT)
    found = verdict(CONTENT)
    journal = LakeStore(url=str(tmp_path / "far")).journal("toy")
    figures = {
        "clean": {"raw": 3, "clean": 3, "quarantine": 0, "superseded": 0},
        "site_model": {"version": 1, "digest": found.digest},
        "verdict": {"verdict": found.to_dict(), "approval": "required"},
    }
    for stage, of_site in figures.items():
        journal.record(stage, {"UA": of_site}, {"UA": "mark"}, run="run", seconds=1.0)
    return tmp_path


def typed(far, *words, lake="far"):
    variables = {"FACTORY_HOME": str(far / "home"), "FACTORY_LAKE": str(far / lake)}
    return CliRunner().invoke(app, words, env=variables)


READS_THE_LAKE = {
    "status": (["status", "--json"], lambda done: set(json.loads(done.output)["lines"]) == {"toy"}),
    "approve": (["approve", "UA", "1", "--by", "lena", "--reason", "ok"], lambda done: "is approved" in done.output),
}


@pytest.mark.parametrize("command", READS_THE_LAKE)
def test_a_command_reads_the_lake_that_the_environment_names(far, command):
    words, well = READS_THE_LAKE[command]
    assert well(typed(far, *words))
    assert not well(typed(far, *words, lake="home/lake"))


def test_a_rollout_judges_by_the_lake_that_the_environment_names(far):
    variables = {"FACTORY_HOME": str(far / "home"), "FACTORY_LAKE": str(far / "far")}
    assert LinePlace.at(Home.found(variables), "toy").candidates(["UA"]) == {"UA": verdict(CONTENT).digest}
    assert LinePlace.at(Home.at(far / "home"), "toy").candidates(["UA"]) == {}
