"""What the documentation says of the library is so: its rooms, its stages, and every place that it names."""

import re
import tomllib
from pathlib import Path

import pytest

from factory.pipeline.stages import STAGES

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "factory"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def rows(text, first):
    """The rows of the table whose first row begins so, each as its cells."""
    lines = text[text.index(first) :].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_table_of_stages_is_the_stage_table():
    said = [[cell.strip("` ") for cell in row[:4]] for row in rows(ARCHITECTURE, "| stage | run |")]
    assert said == [
        [stage.name, stage.run, f"pipeline/{stage.module}.py", ", ".join(stage.sections) or "its inputs"]
        for stage in STAGES
    ]


def test_the_rooms_are_those_there_are_and_those_that_the_contract_holds():
    said = [name for row in rows(ARCHITECTURE, "| room |") for name in re.findall(r"`(\w+)`", row[0])]
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    held = [name.removeprefix("factory.") for layer in layers for name in layer.split(" | ") if "." in name]
    assert [name for name in held if (LIBRARY / name).is_dir()] == said
    assert {path.name for path in LIBRARY.iterdir() if path.is_dir() and path.name[0] != "_"} == set(said)


def _is_somewhere(place):
    return (LIBRARY / place).exists() or (ROOT / place).exists()


def test_no_module_is_loose():
    assert {path.name for path in LIBRARY.glob("*.py")} == {"__init__.py", "errors.py", "masking.py", "names.py"}


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/extending.md", "docs/gateway.md"])
def test_every_file_that_a_page_names_is_there(page):
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\((?!http|#)([^)#]+)[^)]*\)", text)
    places = re.findall(r"`((?:factory|resources|lines|tests|benchmarks|docs)/[\w./]+\.\w+)", text)
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    missing += [place for place in places if not (ROOT / place).exists()]
    inside = re.findall(r"`(\w+/[\w/]+\.py)", text)
    missing += [room for room in inside if not _is_somewhere(room)]
    assert not missing
