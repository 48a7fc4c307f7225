"""A malformed line file is refused on loading, with file and line number, and no other way in than the real one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dagster.components.testing import create_defs_folder_sandbox

from factory.data.contract.compiler import SUPPORTED
from factory.orchestration.line_mistakes import line_mistake
from tests.toy.line import FILE

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
GOOD = FILE.read_text()


def line_of(text, sign):
    """The number of the first line with a sign in it."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if sign in line)


def mistake(text, folder="press_faults"):
    """What a person is told of a line's file; the file lies in a project of its own."""
    with create_defs_folder_sandbox() as sandbox:
        place = sandbox.defs_folder_path / folder
        place.mkdir()
        (place / "defs.yaml").write_text(text)
        try:
            with sandbox.build_all_defs():
                return None
        except Exception as error:  # noqa: BLE001  the loader raises whatever it stumbled over
            return str(line_mistake(error))


def test_a_file_without_a_mistake_loads():
    assert mistake(GOOD) is None


MISTAKES = {
    "unknown key of a section": ("min_rows: 20", "min_rows: 20\n    min_rowz: 20", "min_rowz", "gates.min_rowz: Unexp"),
    "unknown key of the line": ("  owner:", "  porpoise: 3\n  owner:", "porpoise", "porpoise: Extra inputs"),
    "missing key of a section": ("    min_rows: 20\n", "", "gates:", "gates.min_rows: .*required"),
    "missing key of the line": ("  owner: plants@example.com\n", "", "attributes:", "owner: Field required"),
    "a share that is none": (
        "min_rows: 20",
        "min_rows: 20\n    canary_share: 1.5",
        "gates:",
        "gates: .*canary_share 1.5 is not above 0 and at most 1",
    ),
    "wrong type": ("min_rows: 20", "min_rows: many", "min_rows", "gates.min_rows: .*valid integer.*'many'"),
    "wrong type in a nested section": (
        "caught_eur: 10",
        "caught_eur: [10]",
        "caught_eur",
        "value.caught_eur: .*number",
    ),
    "unknown mode of a comparison": (
        "against_champion: {",
        "against_champion: {mode: dryrun, ",
        "dryrun",
        "gates.against_champion.mode: .*'disabled', 'dry_run' or 'enabled'.*found 'dryrun'",
    ),
    "wrong type of a column": ("heat_c: Float64", "heat_c: Celsius", "contract:", "Celsius"),
    "unknown key of an expectation": ("type: expect_table", "sort: 1, type: expect_table", "sort: 1", "sort: Unexp"),
    "wrong expectation kwargs": ("min_value: 0, max", "least: 0, max", "contract:", "least"),
    "expectation on no column": ("{column: part}", "{column: prat}", "contract:", "prat"),
    "key column not among columns": (
        "key: [part]\n      cursor",
        "key: [prat]\n      cursor",
        "parts:",
        "'prat' is not",
    ),
    "cursor not among columns": ("cursor: pressed_at", "cursor: presst_at", "parts:", "'presst_at' is not among"),
    "bad date": ('"2024-03-01"', '"2024-3-1st"', "as_of", "'2024-3-1st' is not a date"),
    "class that cannot be imported": ("presses:build", "presses:biuld", "build:", "'tests.*biuld' cannot be loaded"),
    "module that cannot be imported": ("presses:repair_parts", "nowhere:f", "repair:", "'.*nowhere:f' cannot be load"),
    "decision table of no site": ("decision_table: parts", "decision_table: shifts", "decision_table", "site column"),
    "decision table that is none": (
        "decision_table: parts",
        "decision_table: prats",
        "decision_table",
        "parts, shifts",
    ),
    "no cron line": ("  as_of:", "  schedule: every monday\n  as_of:", "schedule", "'every monday' is no cron line"),
    "drift that never speaks": (
        "  value:",
        "  drift: {windows_of: [4, 3]}\n  value:",
        "drift",
        "windows_of .4, 3. must be",
    ),
    "costs below nothing": ("  value:", "  costs: {compute_hour_eur: -1}\n  value:", "costs", "must be 0 or more"),
    "no YAML": ("  gates:", "  gates: {", "min_contract_share", "no YAML"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_file_and_line(name):
    good, bad, sign, words = MISTAKES[name]
    text = GOOD.replace(good, bad, 1)
    assert text != GOOD
    told = mistake(text)
    assert told
    assert f"press_faults/defs.yaml:{line_of(text, sign)}: " in told
    assert re.search(words, told)
    assert "pydantic" not in told


def test_a_line_may_look_at_the_world_as_of_today():
    assert (
        mistake(GOOD.replace('"2024-03-01"', "today").replace("  value:", '  schedule: "0 4 * * 1"\n  value:')) is None
    )


def test_an_unknown_expectation_is_told_with_its_name_and_all_that_there_are():
    text = GOOD.replace("expect_table_row_count_to_be_between", "expect_table_to_be_pretty")
    told = mistake(text)
    assert "press_faults/defs.yaml:" in told
    assert "'expect_table_to_be_pretty'" in told
    assert all(name in told for name in SUPPORTED)


@pytest.mark.parametrize("folder", ["presses of the north", "a.b", "-x", "x" * 64])
def test_a_folder_that_cannot_name_a_line_is_refused(folder):
    assert mistake(GOOD, folder) == (
        f"line name {folder!r} is refused: use 1 to 63 letters, digits, '_' or '-', the first a letter or digit"
    )


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A whole project whose line has a mistake, and the line number of the mistake."""
    root = tmp_path_factory.mktemp("broken")
    for room in ("assets", "resources", "factory", "workspace.yaml", "pyproject.toml"):
        (root / room).symlink_to(ROOT / room)
    shutil.copy(ROOT / "definitions.py", root)
    shutil.copytree(ROOT / "lines", root / "lines", ignore=shutil.ignore_patterns("__pycache__"))
    file = root / "lines/departure_delay/defs.yaml"
    file.write_text(file.read_text().replace("    min_rows: ", "    min_rowz: 1\n    min_rows: ", 1))
    return root, line_of(file.read_text(), "min_rowz")


def typed(root, *words):
    """What a person sees who types this in the project."""
    told = {**os.environ, "FACTORY_HOME": str(root / "home"), "COLUMNS": "80"}
    done = subprocess.run(words, cwd=root, env=told, capture_output=True, text=True, timeout=100, check=False)
    return done.returncode, done.stdout, done.stderr


def test_factory_run_on_a_malformed_line_ends_with_one_message_and_exit_code_2(broken):
    root, number = broken
    code, out, errors = typed(root, BIN / "factory", "run", "departure_delay", "--home", str(root / "home"))
    assert code == 2
    told = f"{root}/lines/departure_delay/defs.yaml:{number}: gates.min_rowz: Unexpected keyword argument, found 1"
    assert not out.strip()
    assert [line for line in errors.splitlines() if line.strip()] == [f"LineError: {told}"]


def test_dg_check_yaml_shows_the_place(broken):
    root, number = broken
    code, out, errors = typed(root, BIN / "dg", "check", "yaml")
    assert code == 1
    assert "lines/departure_delay/defs.yaml:" in out + errors
    assert f"{number} | " in out + errors
    assert "min_rowz" in out + errors
