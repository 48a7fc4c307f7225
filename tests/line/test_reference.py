"""The schema of a line's file: every key described, the same in checking, editors and the page, and up to date."""

import copy
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from factory.errors import LineError
from factory.line.file import LineFile
from factory.line.line import FeatureKeys, Features, Line, LineKeys, Table, TableKeys
from factory.line.reference import (
    EDITOR_LINE,
    SCHEMA_FILE,
    attributes_schema,
    file_schema,
    key_descriptions,
    page,
    schema_text,
    sections,
)
from factory.line.sections import FeaturesSection, LineSections, TableSection
from factory.orchestration.production_line import ProductionLine
from tests.toy.line import FILE

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "lines").glob("*/defs.yaml"))
FILES = [*SHIPPED, FILE]
VALIDATOR = Draft202012Validator(attributes_schema())


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_key_is_described(section):
    assert [key for key, described in key_descriptions(section).items() if not described] == []


def test_the_schema_file_is_up_to_date():
    """Write it anew with `factory schema`."""
    assert (ROOT / "lines" / SCHEMA_FILE).read_text() == schema_text()


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.parent.name)
def test_a_shipped_line_leads_editors_to_the_schema(file):
    assert file.read_text().splitlines()[0] == EDITOR_LINE
    assert (file.parent / EDITOR_LINE.partition("$schema=")[2]).resolve() == ROOT / "lines" / SCHEMA_FILE


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_the_schema_accepts_what_loads(file):
    Draft202012Validator.check_schema(file_schema())
    assert [error.message for error in Draft202012Validator(file_schema()).iter_errors(LineFile(file).content())] == []


def test_the_component_has_this_schema():
    schema = ProductionLine.get_model_cls().model_json_schema()
    assert schema["properties"].keys() == {key.name for key in fields(LineSections)}
    assert schema["properties"]["gates"]["properties"]["min_rows"]["description"]


def test_a_key_that_file_and_line_share_is_declared_once():
    for keys, section, loaded in (
        (LineKeys, LineSections, Line),
        (TableKeys, TableSection, Table),
        (FeatureKeys, FeaturesSection, Features),
    ):
        shared = {key.name for key in fields(keys)}
        assert shared <= {key.name for key in fields(section)} & {key.name for key in fields(loaded)}


def test_the_page_has_every_key():
    text = page()
    for section in sections():
        for key in fields(section):
            assert f"| `{key.name}` |" in text


GOOD = LineFile(FILE).attributes()


def places(node, path=()):
    """Every place in the file's content below its sections, as keys."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


PLACES = [place for place in places(GOOD) if place[:2] != ("source", "arguments") and "kwargs" not in place]


def holder(content, place):
    for key in place[:-1]:
        content = content[key]
    return content


@given(
    st.sampled_from(PLACES),
    st.sampled_from(["remove", "rename", 3, 1.5, True, None, "text", "1e-3", [], [3], ["text"], {}, {"a": 3}]),
)
def test_schema_and_loading_agree_on_what_a_key_may_be(place, change):
    """One change at any place of a file that loads: editors call it a mistake exactly where loading does."""
    content = copy.deepcopy(GOOD)
    inside, key = holder(content, place), place[-1]
    if change == "remove" or (change == "rename" and isinstance(inside, list)):
        del inside[key]
    elif change == "rename":
        inside["porpoise"] = inside.pop(key)
    else:
        inside[key] = change
    found = list(VALIDATOR.iter_errors(content))
    told = mistake(content)
    assert bool(found) == bool(told) or (told and not found and is_own_rule(told))


def mistake(content):
    """What loading says of a file with this content, if it is wrong."""
    try:
        LineFile(FILE).sections(content)
    except LineError as error:
        return str(error)
    return None


def is_own_rule(told):
    """Whether a section refuses a value by a rule of its own, such as a number out of range, which no schema says."""
    return not any(word in told for word in ("there is no such", "required", "valid ", "must be a mapping"))
