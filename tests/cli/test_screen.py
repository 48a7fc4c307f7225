"""What commands print: hints that can be pasted as they stand, tables and bars that no terminal squeezes."""

import ast
import io
import re
import shlex
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from factory.cli.app import app
from factory.cli.progress import Bars
from factory.cli.screen import Column, hints, show_table
from factory.cli.status_screen import show_sites
from factory.pipeline.events import SiteFailed, SiteMade, StepBegun
from tests.gateway.builders import Shop, onnx_model

FACTORY = Path(__file__).resolve().parents[2] / "factory"
CLI = FACTORY / "cli"
ROOT = typer.main.get_command(app)


class InCommand:
    """A command that was given this home, as far as hints see it."""

    def __init__(self, home):
        self.home = home

    def __enter__(self):
        hints.take(ROOT.make_context("factory", ["doctor"]), Path(self.home))

    def __exit__(self, *_):
        hints._forget()


def sentences():
    """Every text of the library's code that names a command, with what is filled in at its place as X."""
    for file in FACTORY.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docs = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and ast.get_docstring(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                text = node.value
            else:
                continue
            if re.search(r"(?<![\w./-])factory [a-z]", text):
                yield f"{file.relative_to(FACTORY)}:{node.lineno}", text


SENTENCES = dict(sentences())
FIRST_WORD = re.compile(r"(?<![\w./-])factory ([a-z]+)")


def command_named(text):
    """The commands that a text names, each as its words."""
    for match in re.finditer(r"(?<![\w./-])factory ((?:[a-z]+ ?)+)", text):
        words, command = [], ROOT
        for word in match[1].split():
            if word not in getattr(command, "commands", {}):
                break
            words, command = [*words, word], command.commands[word]
        if words:
            yield words, command


@pytest.mark.parametrize("place", SENTENCES)
def test_every_hint_names_a_command_there_is_and_gets_the_home_that_was_given(place):
    text, home = SENTENCES[place], "/a home/it's"
    named = list(command_named(text))
    assert named or not re.search(r"`factory [a-z]+`?|with: factory|: factory [a-z]", text), "names no command there is"
    takes = [
        command
        for _, command in named
        if any("--home" in option.opts for option in command.params) or getattr(command, "default", "")
    ]
    with InCommand(home):
        assert hints.completed(text).count(f" --home {shlex.quote(home)}") == len(takes)
    assert hints.completed(text) == text  # none was given


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        (
            "go on with `factory run toy --sites UA,DL --from clean`",
            "`factory run toy --sites UA,DL --from clean HOME`",
        ),
        ("let through with: factory allow UA --by NAME --reason … lets", "allow UA --by NAME --reason … HOME lets"),
        ("try `make demo`, or `factory run LINE`.", "or `factory run LINE HOME`."),
        ("how far it is: factory rollout status toy", "factory rollout status toy HOME"),
        ("factory rollout toy --by NAME --reason … --waves 1,rest --again", "--waves 1,rest --again HOME"),
        ("factory rollback UA --to … brings it back", "factory rollback UA --to … HOME brings it back"),
        ("Release it with: factory run toy --sites UA.", "factory run toy --sites UA HOME."),
        ("  graph      factory ui  →  http://127.0.0.1:3000", "factory ui HOME  →  http"),
        ("its history was changed (`factory history verify` lists", "(`factory history verify HOME` lists"),
        ("`factory key` writes one", "`factory key` writes one"),
        ("factory new line NAME --from TABLE --target COLUMN", "factory new line NAME --from TABLE --target COLUMN"),
        ("factory run toy --home /elsewhere", "factory run toy --home /elsewhere"),
        ("the factory runs, and this factory's key", "the factory runs, and this factory's key"),
        (".venv/bin/factory ui and /usr/factory run", ".venv/bin/factory ui and /usr/factory run"),
        (
            "first: factory serve, then factory ui; or factory status",
            "serve HOME, then factory ui HOME; or factory status HOME",
        ),
    ],
)
def test_the_home_stands_where_the_command_ends(text, completed):
    with InCommand("/h"):
        assert completed.replace("HOME", "--home /h") in hints.completed(text)


@given(st.text(alphabet="abc /'\"$`\\;éß-", min_size=1, max_size=20).map(lambda name: f"/{name}"))
def test_a_hint_with_any_home_is_read_by_a_shell_as_it_was_meant(home):
    with InCommand(home):
        words = shlex.split(hints.completed("factory run toy --sites UA"))
    assert words[:5] == ["factory", "run", "toy", "--sites", "UA"]
    assert Path(words[6]) == Path(home).absolute() or Path(words[6]).resolve() == Path(home).resolve()


def test_none_prints_past_the_screen_that_completes_hints():
    """Tables and what another library is given to draw apart, nothing reaches a person but by `say` and its like."""
    printing = {"typer.echo", "print", "sys.stdout.write", "sys.stderr.write", "click.echo", "rich.print"}
    calls = set()
    for file in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in printing or name.endswith(".print"):
                calls.add((file.name, name))
    assert calls == {
        ("__init__.py", "sys.stderr.write"),  # errors, whose hints the group of all commands completed
        ("screen.py", "typer.echo"),
        ("screen.py", "sys.stderr.write"),
        ("screen.py", "out.print"),
        ("screen.py", "(to or console).print"),
        ("status_screen.py", "console.print"),  # the doctor's findings
    }


def test_hints_of_answers_and_of_errors_have_the_home_and_the_next_command_has_it_no_more(tmp_path):
    home = tmp_path / "a home"
    shop = Shop(home)
    shop.release(onnx_model(), version=1)
    shop.release(onnx_model(bias=1.0), version=2)
    decided = ["--by", "lena", "--reason", "x", "--home", str(home)]
    done = CliRunner().invoke(app, ["rollback", "UA", *decided])
    assert f"factory allow UA --by NAME --reason … --home '{home}'" in done.output
    done = CliRunner().invoke(app, ["trial", "start", "UA", "--release", "2", "--as", "shadow", *decided])
    assert f"factory allow UA --by NAME --reason … --home '{home}'" in str(done.exception)
    assert hints.completed("factory status") == "factory status"


@pytest.mark.parametrize("withdrawn", [0, 7])
def test_withdrawn_rows_are_in_the_table_of_sites_where_there_are_any(withdrawn, capsys):
    rows = {"raw": 2011, "clean": 2003, "quarantine": 1, "superseded": 0, "withdrawn": withdrawn}
    show_sites("orders", {"Ulm": {"rows": rows, "verdict": None, "serving": None}})
    shown = capsys.readouterr().out
    assert ("drawn" in shown) == bool(withdrawn)
    assert {"2,011", "2,003", "1", *(["7"] if withdrawn else [])} <= set(shown.split())


WORDS = st.text(alphabet="abcdefgh ,.[]", min_size=0, max_size=40).map(str.strip)


@given(st.integers(1, 12), st.data())
def test_a_table_of_any_width_is_shown_whole_in_80_columns(columns, data):
    headings = [data.draw(st.text(alphabet="abcdefgh", min_size=1, max_size=12)) for _ in range(columns)]
    rows = data.draw(st.lists(st.lists(WORDS, min_size=columns, max_size=columns), min_size=1, max_size=4))
    out = io.StringIO()
    show_table([Column(heading=one) for one in headings], rows, to=Console(file=out, width=80))
    shown = out.getvalue()
    assert "…" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines()[: 0 if columns == 1 else None])
    together = re.sub(r"\s+", "", shown)
    for row in rows:
        for cell in row:
            assert re.sub(r"\s+", "", cell) in together


def test_a_cell_is_no_style(capsys):
    out = io.StringIO()
    show_table([Column(heading="site")], [["[red]x[/red]"], [Text("y", "red")]], to=Console(file=out, width=80))
    assert out.getvalue().split() == ["site", "[red]x[/red]", "y"]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_bars_are_whole_lines_in_any_terminal(width):
    sites = tuple(f"site-{number}" for number in range(987))
    events = [
        StepBegun(step="prediction_log", todo=("UA", "DL"), unchanged=3, at=1.0),
        StepBegun(step="online_snapshot", todo=sites, unchanged=13, at=2.0),
        *(SiteMade(asset="online_snapshot", site=site, changed=True, at=3.0) for site in sites[:300]),
        *(SiteFailed(step="online_snapshot", site=site, error="no", at=4.0) for site in sites[300:320]),
    ]
    out = io.StringIO()
    with Bars(Console(file=out, width=width, force_terminal=True, no_color=True)) as bars:
        for event in events:
            bars.show(event)
    lines = re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue()))
    last = next(line for line in reversed(lines) if "online_snapshot" in line)
    assert len(last) <= width
    assert "online_snapshot" in last
    assert " 333/1000" in last or "333/1000" in last
    assert re.search(r"\d:\d\d:\d\d", last)
    assert not re.search(r"site-\d*…", last)  # no name is cut
