"""What the documentation says is so: commands, options, files, keys, metrics, links, and the pages made from code.

Everything here is read, not run; tests/test_docs_run.py runs what the pages tell people to type.
"""

import ast
import re
import shlex
import tomllib
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
import typer
import yaml
from jsonschema import Draft202012Validator

from docs import generate
from factory.cli.app import app
from factory.line.reference import attributes_schema
from factory.line.sections import LineSections
from factory.pipeline.stages import STAGES
from factory.storage.home import Home

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LIBRARY = ROOT / "factory"
TEMPLATE = LIBRARY / "scaffold" / "project"
OWN_LINE = "lines/orders/"
"""What the tutorial makes."""
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
CODE = [*LIBRARY.rglob("*.py"), *(ROOT / "resources").glob("*.py"), ROOT / "definitions.py"]
ARCHITECTURE = (DOCS / "architecture.md").read_text()
FENCE = re.compile(r"^( *)(```+|:::+)(.*)\n((?:.*\n)*?)\1\2 *$", re.MULTILINE)
PER_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page, *languages):
    """The fenced blocks of a page in these languages, as text."""
    return [
        re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
        for indent, _, words, text in FENCE.findall(page.read_text())
        if words.split()[:1] and words.split()[0] in languages
    ]


def prose(page):
    """A page without its fenced and indented blocks."""
    return re.sub(r"^ {4}\S.*$", "", FENCE.sub("", page.read_text()), flags=re.MULTILINE)


def inline_code(page):
    """Every piece of code within sentences."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(page))


# Architecture


def rows(text, first):
    """The rows of the table whose first row begins so, each as its cells."""
    lines = text[text.index(first) :].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_table_of_stages_is_the_stage_table():
    written = [[cell.strip("` ") for cell in row[:4]] for row in rows(ARCHITECTURE, "| stage | run |")]
    assert written == [
        [stage.name, stage.run, f"pipeline/{stage.module}.py", ", ".join(stage.sections) or "its inputs"]
        for stage in STAGES
    ]


def test_the_rooms_are_those_there_are_and_those_that_the_contract_holds():
    written = [name for row in rows(ARCHITECTURE, "| room |") for name in re.findall(r"`(\w+)`", row[0])]
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    held = [name.removeprefix("factory.") for layer in layers for name in layer.split(" | ") if "." in name]
    assert [name for name in held if (LIBRARY / name).is_dir()] == written
    assert {path.name for path in LIBRARY.iterdir() if path.is_dir() and path.name[0] != "_"} == set(written)


def test_no_module_is_loose():
    assert {path.name for path in LIBRARY.glob("*.py")} == {"__init__.py", "names.py"}


# Pages made from the code


@pytest.mark.parametrize("place", generate.PAGES, ids=str)
def test_a_page_made_from_the_code_is_up_to_date(place):
    assert (DOCS / place).read_text() == generate.PAGES[place](), "write it anew: python docs/generate.py"


# Commands


def command_lines(page):
    """Every command line of `factory` that a page shows, in its blocks and in its sentences."""
    shown = [line for text in blocks(page, "bash", "console", "sh") for line in text.replace("\\\n", " ").splitlines()]
    shown += re.findall(r"^ {4}(\S.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    for text in [*shown, *inline_code(page)]:
        for part in re.split(r"&&|\|\||;|\$\(|(?<!\d)\|(?!\w)", text):
            words = part.strip().removeprefix("$ ").removeprefix(".venv/bin/").removeprefix("venv/bin/")
            if words == "factory" or words.startswith("factory "):
                yield re.split(r"\s#|\s+&$", words)[0]


@cache
def command_line():
    """The whole command line."""
    return typer.main.get_command(app)


def mistake(text):
    """What is wrong in a command line, or None: a command that there is none of, an option that it does not have."""
    words = [word.strip("[],.…") for word in shlex.split(re.sub(r"[…\[\]]", " ", text))[1:]]
    command, path = command_line(), ["factory"]
    while words and generate.is_group(command) and not words[0].startswith("-"):
        name = words[0]
        if name not in command.commands:
            if path[-1] == "rollout" and words[0].upper() in (words[0], name):
                name = "start"
            elif name.isupper():
                return None
            elif "start" in command.commands:
                name = "start"
            else:
                return f"{' '.join(path)} has no command {name!r}"
        else:
            words = words[1:]
        command = command.commands[name]
        path.append(name)
    options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--help", "-h"}
    given = [word.partition("=")[0] for word in words if re.match(r"-{1,2}[a-zA-Z]", word)]
    unknown = [name for name in given if name not in options and name != "--version"]
    return f"{' '.join(path)} has no option {unknown[0]}" if unknown else None


@PER_PAGE
def test_every_command_line_is_one_that_there_is(page):
    assert [f"{line}: {wrong}" for line in command_lines(page) if (wrong := mistake(line))] == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("factory run orders --sites UA,DL", None),
        ("factory rollout orders --by lena --reason x", None),
        ("factory rollout status orders", None),
        ("factory replay orders", "factory has no command 'replay'"),
        ("factory run orders --lake x", "factory run has no option --lake"),
        ("factory key make erp", "factory key has no command 'make'"),
    ],
)
def test_a_command_line_that_there_is_none_of_is_found(line, wrong):
    assert mistake(line) == wrong


@PER_PAGE
def test_every_make_target_is_one_that_there_is(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = [line for text in blocks(page, "bash") for line in text.splitlines()] + inline_code(page)
    shown += re.findall(r"^ {4}(\S.*)$", page.read_text(), re.MULTILINE)
    named = {words[1] for line in shown if (words := line.split())[:1] == ["make"] and len(words) > 1}
    assert sorted(named - targets) == []


# Names in code


@cache
def known_tests():
    """The tests there are: `file::name`."""
    return {
        f"{path.relative_to(ROOT)}::{node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


@PER_PAGE
def test_every_test_that_a_page_names_is_there(page):
    assert [name for name in inline_code(page) if "::test_" in name and name not in known_tests()] == []


def test_every_guarantee_names_its_test():
    sections = re.split(r"^## \d+\. ", (DOCS / "guarantees.md").read_text(), flags=re.MULTILINE)[1:]
    assert len(sections) == 16
    assert [text.splitlines()[0] for text in sections if "::test_" not in text] == []


@cache
def names_in(module):
    """The names that a module of the library has at its top, without importing it; None where there is no module."""
    place = ROOT.joinpath(*module.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if not file.is_file():
        return None
    tree, names = ast.parse(file.read_text()), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names | {path.stem for path in place.glob("*") if place.is_dir()}


def is_in_the_library(dotted):
    """Whether `factory.room.module`, `….Name` or `….Name.method` is somewhere."""
    parts = dotted.replace(":", ".").split(".")
    for length in range(len(parts), 0, -1):
        names = names_in(".".join(parts[:length]))
        if names is not None:
            return length == len(parts) or parts[length] in names
    return False


@PER_PAGE
def test_every_name_of_the_library_is_there(page):
    text = page.read_text()
    dotted = re.findall(r"(?<![\w/@-])factory(?:\.\w+)+(?::\w+)?(?!\w*/)", text)
    imported = [
        f"{module}.{name.split(' as ')[0].strip(' ()')}"
        for module, names in re.findall(r"from (factory[\w.]*) import ([^\n#]+)", text)
        for name in names.split(",")
    ]
    assert [name for name in [*dotted, *imported] if not is_in_the_library(name)] == []


@PER_PAGE
def test_every_file_that_a_page_names_is_there(page):
    places = re.findall(
        r"`((?:factory|resources|lines|tests|benchmarks|docs)/[\w./-]+\.\w+)(?:::\w+)?`", page.read_text()
    )
    missing = [place for place in places if not (ROOT / place).exists() and not place.startswith(OWN_LINE)]
    inside = [place for place in re.findall(r"`(\w+/[\w/]+\.py)`", prose(page)) if not place.startswith(OWN_LINE)]
    missing += [room for room in inside if not any((top / room).exists() for top in (LIBRARY, ROOT, TEMPLATE))]
    assert missing == []


@PER_PAGE
def test_python_in_a_page_can_be_read(page):
    for text in blocks(page, "python"):
        ast.parse(text)


@pytest.mark.parametrize(
    "text", blocks(DOCS / "extending.md", "python"), ids=lambda text: re.findall(r"factory\.[\w.]+|numpy", text)[0]
)
def test_an_example_of_an_extension_runs(text):
    exec(compile(text, "docs/extending.md", "exec"), {"__name__": "example"})  # noqa: S102  our own page


# Environment, metrics, alerts

VARIABLE = re.compile(r"(?:FACTORY|MLFLOW|DAGSTER|OMP|POLARS|CUBLAS)_[A-Z_]+")


@cache
def variables():
    """Every variable of the environment that the code names."""
    named = set()
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) else node.arg if isinstance(node, ast.keyword) else None
            if isinstance(text, str) and VARIABLE.fullmatch(text):
                named.add(text)
    return named


def test_the_environment_is_what_the_code_reads():
    told = {name for name in inline_code(DOCS / "reference" / "environment.md") if VARIABLE.fullmatch(name)}
    assert told == variables()


@PER_PAGE
def test_every_variable_of_the_environment_is_told_of(page):
    assert set(re.findall(r"\bFACTORY_[A-Z_]+\b", page.read_text())) <= variables()


@PER_PAGE
def test_every_metric_is_one_that_the_gateway_tells(page):
    metrics = set(re.findall(r"^\| `(\w+)`", (DOCS / "reference" / "metrics.md").read_text(), re.MULTILINE))
    named = {
        re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"`((?:factory|nv)_\w+)`", page.read_text())
    }
    named |= {name for name in re.findall(r"`((?:factory|nv)_\w+)`", page.read_text()) if name in metrics}
    assert sorted(name for name in named - metrics if f"{name}_count" not in metrics) == []


def alert_kinds():
    """Every kind of alert that the code sends: the first argument of `alerts.tell`, a text or a constant beside it."""
    for path in CODE:
        tree = ast.parse(path.read_text())
        constants = {
            name: value for node in tree.body if isinstance(node, ast.Assign) for name, value in assigned(node)
        }
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
            if isinstance(call.func, ast.Attribute) and call.func.attr == "tell":
                kind = call.args[0]
                kind = constants[kind.id] if isinstance(kind, ast.Name) else kind
                assert isinstance(kind, ast.Constant), f"{path}: an alert's kind is a text or a constant beside it"
                yield kind.value


def assigned(node):
    """The names that an assignment gives values to, with those values."""
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return [(one.id, other) for one, other in zip(target.elts, value.elts, strict=True)]
    return [(target.id, value)] if isinstance(target, ast.Name) else []


def test_every_alert_has_its_section():
    alerts = (DOCS / "operating.md").read_text().split("\n## Alerts\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^### (.+)$", alerts, re.MULTILINE)) == set(alert_kinds())


def test_every_place_of_a_home_is_told_of():
    home = Home.at(Path("/home"))
    places = [getattr(home, name) for name, what in vars(Home).items() if isinstance(what, property)]
    places = [place for place in places if isinstance(place, Path)] + [Path(home.lake), home.backtest("line")]
    told = re.findall(r"^\| (.*?) \|", (DOCS / "reference" / "home.md").read_text(), re.MULTILINE)
    named = {place.rstrip("/") for cell in told for place in re.findall(r"`([\w./]+)`", cell)}
    assert {place.relative_to("/home").parts[0] for place in places} | {"mlflow.db", "data"} == named


# The line's file


def lenient(schema):
    """A schema that demands no key, so that a piece of a file can be judged by it."""
    if isinstance(schema, dict):
        names = {"oneOf": "anyOf"}
        return {names.get(name, name): lenient(part) for name, part in schema.items() if name != "required"}
    return [lenient(part) for part in schema] if isinstance(schema, list) else schema


def without_dots(piece):
    """A piece of YAML without what `…` stands for."""
    if isinstance(piece, dict):
        return {name: without_dots(part) for name, part in piece.items() if "…" not in (name, part)}
    return piece


PIECE = Draft202012Validator(lenient(attributes_schema()))
SECTIONS = {key.name for key in fields(LineSections)}


def pieces(page):
    """Every piece of a line's file that a page shows, in its blocks and in its sentences."""
    shown = [yaml.safe_load(text) for text in blocks(page, "yaml")]
    shown += [
        yaml.safe_load(text) for text in inline_code(page) if text.partition(": ")[0] in SECTIONS and ": " in text
    ]
    return [piece.get("attributes", piece) for piece in shown if isinstance(piece, dict)]


@PER_PAGE
def test_every_piece_of_a_lines_file_is_as_the_schema_has_it(page):
    errors = [error for piece in pieces(page) for error in PIECE.iter_errors(without_dots(piece))]
    assert [f"{error.json_path}: {error.message[:200]}" for error in errors] == []


@pytest.mark.parametrize("piece", [{"gate": {}}, {"gates": {"min_row": 3}}, {"gates": {"min_rows": "many"}}])
def test_a_piece_that_no_line_could_have_is_found(piece):
    assert list(PIECE.iter_errors(piece))


# Links


def headings(page):
    """The anchors of a page, as GitHub makes them."""
    text = FENCE.sub("", page.read_text())
    titles = re.findall(r"^#+ (.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", title).lower()).replace(" ", "-") for title in titles}


@PER_PAGE
def test_every_link_leads_somewhere(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in headings(target)):
            broken.append(link)
    assert broken == []


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
