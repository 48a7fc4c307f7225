"""What a process imported is what it builds with: a snapshot of other code is refused, whatever is on the disk now."""

import dataclasses
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from factory.errors import LineError, SnapshotRefused
from factory.features.online.builder import Builder
from factory.features.online.code import code_of
from factory.line.expectation import Expectation
from tests.features.online.pressing import LINE, made_snapshot, newest, record

ARITHMETIC = """
import polars as pl
from tests.toy.press_faults import presses


def repair(rows):
    return presses.repair_parts(rows)


def build(tables):
    return presses.build(tables).with_columns(pl.col("heat_c") * {factor})
"""


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder whose modules can be imported, here and in a process of their own; forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)


def code_elsewhere(room, module):
    """The code of a module's repair and build in a process that starts now."""
    asks = f"from factory.features.online.code import code_of; print(code_of('{module}:repair', '{module}:build'))"
    return subprocess.run(
        [sys.executable, "-c", asks],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(room), str(Path.cwd())])},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def line_of(module):
    """The toy line with another repair and build."""
    parts = dataclasses.replace(LINE.decisions, repair=module.repair)
    features = dataclasses.replace(LINE.features, build=module.build)
    return dataclasses.replace(LINE, tables={**LINE.tables, "parts": parts}, features=features)


def of_code(new, **changed):
    """What builds on the snapshot, had it been made by other code."""
    path = dataclasses.replace(new.snapshot.row_path, **changed)
    return Builder(dataclasses.replace(new.snapshot, row_path=path), new.tables)


def test_code_installed_under_a_running_process_is_not_what_the_process_builds_with(room):
    file = room / "pressed_twice.py"
    file.write_text(ARITHMETIC.format(factor=1))
    line = line_of(importlib.import_module("pressed_twice"))
    before = made_snapshot(line=line)
    assert before.snapshot.row_path.code == code_elsewhere(room, "pressed_twice")
    asked = [record(newest("north")[0])]
    built = Builder(before.snapshot, before.tables).build("north", asked)

    file.write_text(ARITHMETIC.format(factor=1000))
    with pytest.raises(SnapshotRefused, match="restart the gateway if its code was changed under it"):
        of_code(before, code=code_elsewhere(room, "pressed_twice"))
    again = made_snapshot(line=line)
    assert again.snapshot.row_path == before.snapshot.row_path
    assert (Builder(again.snapshot, again.tables).build("north", asked).features == built.features).all()


def test_what_a_failed_import_left_behind_counts_as_imported(room):
    (room / "pressing_aid.py").write_text("FACTOR = 1\n")
    file = room / "pressed_wrongly.py"
    file.write_text("from pressing_aid import FACTOR\n" + ARITHMETIC.format(factor="FACTOR") + "raise OSError('no')\n")
    new, names = made_snapshot(), {"repair": "pressed_wrongly:repair", "build": "pressed_wrongly:build"}
    with pytest.raises(SnapshotRefused, match="OSError: no"):
        of_code(new, **names)
    (room / "pressing_aid.py").write_text("FACTOR = 1000\n")
    file.write_text(file.read_text().replace("raise OSError('no')\n", ""))
    with pytest.raises(SnapshotRefused, match="restart the gateway"):
        of_code(new, **names, code=code_elsewhere(room, "pressed_wrongly"))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("half_written", "def build(", "SyntaxError: "),
        ("misspelt", "biuld", "NameError: name 'biuld' is not defined"),
        ("unlicensed", "raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("empty_handed", "", "AttributeError: .*build"),
        ("of_no_code", "\udcff", "UnicodeDecodeError: "),
    ],
)
def test_code_that_cannot_be_imported_is_a_refused_snapshot_with_the_reason(room, name, content, reason):
    (room / f"{name}.py").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(SnapshotRefused, match=rf"{name}:build cannot be loaded here \({reason}"):
        of_code(made_snapshot(), build=f"{name}:build")


@pytest.mark.parametrize("nowhere", ["sys:exit", "tests.nowhere:build", ":build"])
def test_a_function_of_no_file_has_no_code(nowhere):
    with pytest.raises((ImportError, ValueError)):
        code_of(nowhere)


@pytest.mark.parametrize(
    "wrong",
    [{"contract": (Expectation(type="expect_a_miracle", kwargs={}),)}, {"columns": {"part": "Float65"}}],
)
def test_a_contract_that_cannot_be_judged_here_is_a_refused_snapshot(wrong):
    with pytest.raises(SnapshotRefused, match=r"the online snapshot of line press_faults: .*install here") as refused:
        of_code(made_snapshot(), **wrong)
    assert isinstance(refused.value.__cause__, LineError)
