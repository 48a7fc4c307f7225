"""A mistake in a line's file, contract or Python is told with file and line, and stops that line alone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from factory.data.contract.compiler import SUPPORTED
from factory.errors import LineError
from factory.orchestration.lines import checked
from factory.orchestration.project import load_definitions
from tests.scaffold.lines import importable
from tests.toy.line import FILE

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
GOOD = FILE.read_text()
NAME = "press_faults"


def line_of(text, sign):
    """The number of the first line with a sign in it."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if sign in line)


@pytest.fixture
def lines(tmp_path):
    """A project's `lines/` that Python finds too."""
    with importable(tmp_path):
        yield tmp_path / "lines"


def written(lines, content, folder=NAME, **files):
    """A line of a file with this content, and of more files beside it, in their names `__` for a slash."""
    line = lines / folder
    line.mkdir(parents=True, exist_ok=True)
    (line / "__init__.py").write_text("")
    (line / "defs.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    for name, text in files.items():
        place = line / name.replace("__", "/").replace("_py", ".py").replace("_yaml", ".yaml")
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
    return line


def mistake(lines, content, folder=NAME, **files):
    """What a person is told of a line's file."""
    written(lines, content, folder, **files)
    return "\n".join(str(error) for error in checked(lines.parent).mistakes) or None


def test_a_file_without_a_mistake_loads(lines):
    assert mistake(lines, GOOD) is None


MISTAKES = {
    "unknown key of a section": (
        "min_rows: 10",
        "min_rows: 10\n    min_rowz: 20",
        "min_rowz",
        "gates.min_rowz: there is no such key; did you mean 'min_rows'",
    ),
    "unknown key of the line": ("  owner:", "  porpoise: 3\n  owner:", "porpoise", "porpoise: there is no such key"),
    "unknown key of a table": (
        "cursor: pressed",
        "curzor: a\n      cursor: pressed",
        "curzor",
        "did you mean 'cursor'",
    ),
    "unknown key beside the attributes": ("attributes:", "attribute: 3\nattributes:", "attribute: 3", "'attributes'"),
    "unknown key of a comparison": (
        "against_champion: {",
        "against_champion: {min_change: 1, ",
        "min_change",
        "gates.against_champion.min_change: there is no such key",
    ),
    "missing key of a section": ("    min_rows: 10\n", "", "gates:", "gates.min_rows: .*required"),
    "missing key of the line": ("  owner: plants@example.com\n", "", "attributes:", "owner: this key is required"),
    "missing key of a table": ("      key: [part]\n", "", "parts:", "tables.parts.key: this key is required"),
    "no type": ("type: assets.ProductionLine\n\n", "", "attributes:", "must say `type: assets.ProductionLine`"),
    "a key that is there twice": (
        "    min_rows: 10\n",
        "    min_rows: 10\n    max_size_mb: 2\n    min_rows: 30\n",
        "min_rows: 30",
        "'min_rows' is here twice, first on line 9",
    ),
    "a key that is no text": ("min_rows: 10", "min_rows: 10\n    no: 3", "no: 3", "a key must be text"),
    "a share that is none": (
        "min_rows: 10",
        "min_rows: 10\n    canary_share: 1.5",
        "canary_share",
        "gates: canary_share 1.5 is not above 0 and at most 1",
    ),
    "a limit without an end": ("{positives: 5,", "{positives: .inf,", "positives", "inf is not a finite number"),
    "wrong type": ("min_rows: 10", "min_rows: many", "min_rows", "gates.min_rows: .*valid integer.*'many'"),
    "a truth for a number": ("min_rows: 10", "min_rows: true", "min_rows", "gates.min_rows: .*valid integer.*True"),
    "a text for a list": ("key: [day]", "key: day", "key: day", "tables.shifts.key: .*'day'"),
    "wrong type in a nested section": (
        "caught_eur: 10",
        "caught_eur: [10]",
        "caught_eur",
        "value.caught_eur: .*number",
    ),
    "a section that is none": ("split: {", "costs: 3\n  split: {", "costs", "costs: this must be a mapping of keys"),
    "unknown mode of a comparison": (
        "against_champion: {",
        "against_champion: {mode: dryrun, ",
        "dryrun",
        "gates.against_champion.mode: .*'disabled', 'dry_run' or 'enabled'.*found 'dryrun'",
    ),
    "a kind that is none": (
        "recipe: {kind: table",
        "recipe: {kind: tables",
        "kind: tables",
        "recipe.kind: there is no such kind; there are 'table', 'sequence', found 'tables'",
    ),
    "a figure that is none": ("average_precision: 0.5", "precision: 0.5", "precision: 0.5", "no figure 'precision'"),
    "wrong type of a column": ("heat_c: Float64", "heat_c: Celsius", "heat_c: Celsius", "Celsius"),
    "unknown key of an expectation": (
        "type: expect_table",
        "sort: 1, type: expect_table",
        "sort: 1",
        "tables.shifts.contract.0.sort: there is no such key",
    ),
    "wrong expectation kwargs": ("min_value: 0, max", "least: 0, max", ", least:", "least"),
    "expectation on no column": ("{column: part}", "{column: prat}", "column: prat", "prat"),
    "a regular expression that is none": (
        "        - {type: expect_column_values_to_not_be_null, kwargs: {column: part}}",
        "        - {type: expect_column_values_to_match_regex, kwargs: {column: plant, regex: '(a'}}",
        "regex:",
        r"\(a",
    ),
    "key column not among columns": (
        "key: [part]\n      cursor",
        "key: [prat]\n      cursor",
        "[prat]",
        "'prat' is not",
    ),
    "cursor not among columns": ("cursor: pressed_at", "cursor: presst_at", "presst_at", "'presst_at' is not among"),
    "bad date": ('"2024-03-01"', '"2024-3-1st"', "as_of", "'2024-3-1st' is not a date"),
    "class that cannot be imported": ("presses:build", "presses:biuld", "build:", "'tests.*biuld' cannot be loaded"),
    "module that cannot be imported": ("presses:repair_parts", "nowhere:f", "repair:", "'.*nowhere:f' cannot be load"),
    "a function that is not written as one": ("presses:build", "presses.build", "build:", "package.module:name"),
    "a source that is none": ("presses:Presses", "presses:Prezzes", "use:", "Prezzes' cannot be loaded"),
    "arguments that a source does not take": (
        "tests.toy.press_faults.presses:Presses",
        "factory.connectors.packaged_files:PackagedFiles\n    arguments: {speed: 3}",
        "arguments:",
        "does not take these arguments: .*speed",
    ),
    "an argument's part that its source does not take": (
        "tests.toy.press_faults.presses:Presses",
        "factory.connectors.tables:TableSource\n    arguments: {tables: {parts: {at: a.csv, formats: {day: x}}}}",
        "arguments:",
        "parts.formats is said beside the table's columns now",
    ),
    "a contract that is not there": (
        "      contract:\n        - {type: expect_table_row_count_to_be_between, kwargs: {min_value: 1}}\n",
        "      contract: contracts/shifts.yaml\n",
        "contract: contracts",
        "there is no file 'contracts/shifts.yaml'",
    ),
    "decision table of no site": ("decision_table: parts", "decision_table: shifts", "decision_table", "site column"),
    "another table with a site": (
        "      site: null\n",
        "      site: day\n",
        "site: day",
        "table shifts: only the decision table, parts, is brought in site by site.*write `site: null`",
    ),
    "decision table that is none": (
        "decision_table: parts",
        "decision_table: prats",
        "decision_table",
        "parts, shifts",
    ),
    "no cron line": ("  as_of:", "  schedule: every monday\n  as_of:", "schedule", "'every monday' is no cron line"),
    "drift that never speaks": (
        "  value:",
        "  drift: {min_rows: 3,\n    windows_of: [4, 3]}\n  value:",
        "windows_of",
        "windows_of .4, 3. must be",
    ),
    "costs below nothing": ("  value:", "  costs: {compute_hour_eur: -1}\n  value:", "costs", "must be 0 or more"),
    "a template without an end": ("plants@example.com", '"{{ env.OWNER"', "owner", "owner: the template .*OWNER"),
    "a template of nothing": ("plants@example.com", '"{{ nothing.x }}"', "owner", "owner: the template .*nothing"),
    "no YAML": ("  gates:", "  gates: {", "min_contract_share", "no YAML"),
    "a tab": ("    min_rows: 10", "\tmin_rows: 10", "\tmin_rows", "no YAML.*indent with spaces"),
    "wrong indentation": ("    min_rows: 10", "   min_rows: 10", "min_contract_share", "no YAML"),
    "two documents": ("  owner:", "---\n  owner:", "  owner:", "a second document begins here"),
    "a type that settings have not": (
        "min_rows: 10",
        "min_rows: !!set {a}",
        "min_rows",
        "'set' is no type",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_file_and_line(lines, name):
    good, bad, sign, words = MISTAKES[name]
    text = GOOD.replace(good, bad, 1)
    assert text != GOOD
    told = mistake(lines, text)
    assert told
    assert f"press_faults/defs.yaml:{line_of(text, sign)}: " in told
    assert re.search(words, told)
    assert "pydantic" not in told


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"defs.yaml: the file is empty"),
        (b"# nothing\n", r"defs.yaml: the file is empty"),
        (b"- 1\n", r"defs.yaml:1: the file must be a mapping"),
        (
            GOOD.encode().replace(b"Will this", "Fällt dies".encode("latin-1")),
            r"defs.yaml:4: the byte 0xe4 is not UTF-8",
        ),
        (b"type: assets.ProductionLine\n", r"defs.yaml:1: `attributes` must be a mapping"),
        (b"type: assets.ProductionLine\nattributes:\n", r"defs.yaml:2: `attributes` must be a mapping"),
        (b"type: assets.ProductionLine\nattributes: {}\n", r"defs.yaml:2: purpose: this key is required\n.*owner"),
        (b"a: &a [*a]\n", r"defs.yaml:1: a: there is no such key"),
        (b"type: assets.ProductionLine\nattributes: &a {purpose: *a}\n", r"defs.yaml"),
        (b"type: assets.ProductionLine\nattributes: " + b"[" * 5000, r"defs.yaml.*no YAML"),
        (b"\x00\x01", r"defs.yaml.*no YAML"),
        (GOOD.replace("assets.ProductionLine", "assets.ProductionLime").encode(), "ProductionLime"),
        (GOOD.replace("assets.ProductionLine", "azzets.ProductionLine").encode(), "azzets"),
    ],
)
def test_a_file_that_is_no_lines_file_is_told_by_its_name(lines, content, words):
    assert re.search(words, mistake(lines, content))


def test_a_byte_order_mark_is_no_mistake(lines):
    assert mistake(lines, b"\xef\xbb\xbf" + GOOD.encode()) is None


def test_every_mistake_of_a_file_is_told_at_once(lines):
    text = GOOD.replace("min_rows: 10", "min_rowz: 20").replace("caught_eur: 10", "caught_eur: ten")
    told = mistake(lines, text).splitlines()
    assert len(told) == 3
    assert all(line.startswith(f"{lines}/press_faults/defs.yaml:") for line in told)


@pytest.mark.parametrize("number", ["1e-3", '"0.001"', '"{{ 0.001 }}"'])
def test_a_number_that_yaml_takes_for_text_is_a_number(lines, number):
    assert mistake(lines, GOOD.replace("learning_rate: 0.005", f"learning_rate: {number}")) is None


PYTHON = {
    "a name that is not there": ("import polars\n\nx = undefined_name\n", 3, "NameError", "x = undefined_name"),
    "a syntax error": ("def build(tables:\n    return\n", 1, "SyntaxError", "def build(tables:"),
    "an exit": ("import sys\n\nsys.exit(3)\n", 3, "SystemExit", "sys.exit(3)"),
    "no end": ("def again():\n    again()\n\nagain()\n", 2, "RecursionError", "again()"),
    "a package that is not installed": ("import no_such_package\n", 1, "ModuleNotFoundError", "import no_such_package"),
    "a library's own refusal": ("import json\njson.loads('{')\n", 2, "JSONDecodeError", "json.loads('{')"),
}


@pytest.mark.parametrize("name", PYTHON)
def test_an_error_in_a_lines_python_is_told_with_both_places_and_its_line_of_code(lines, name):
    code, number, kind, shown = PYTHON[name]
    text = GOOD.replace("tests.toy.press_faults.presses:build", "lines.press_faults.features:build")
    told = mistake(lines, text, features_py=code)
    assert f"press_faults/defs.yaml:{line_of(text, 'build:')}: 'lines.press_faults.features:build' cannot be" in told
    assert f"{lines}/press_faults/features.py:{number}: {kind}" in told
    assert told.splitlines()[1].strip() == shown
    assert len(told.splitlines()) == 2


SUITES = {
    "an unknown key": (
        "expectations:\n  - {type: a}\n  - {tipe: b, type: a}\n",
        3,
        "tipe: an expectation has no such key; did you mean 'type'?",
    ),
    "a parameter without a value": (
        "expectations:\n  - {type: expect_table_row_count_to_equal, kwargs: {value: {$PARAMETER: rows}}}\n",
        2,
        "expect_table_row_count_to_equal: needs the parameter 'rows'",
    ),
    "a condition that is not understood": (
        "expectations:\n  -\n    type: expect_table_row_count_to_equal\n"
        "    kwargs: {value: 1, row_condition: '@shift', condition_parser: pandas}\n",
        3,
        "row_condition '@shift' cannot be judged: '@' at character 1 is not understood",
    ),
    "no list": ("name: x\n", 1, "needs a list `expectations`"),
    "an unknown type": ("expectations:\n  - {type: a}\n", 2, "a: it is not supported"),
    "no YAML": ("expectations:\n  - {type: a\n", 3, "no YAML"),
    "a wrong column": (
        "expectations:\n  -\n    type: expect_column_values_to_not_be_null\n    kwargs: {column: x}\n",
        3,
        "x",
    ),
}


@pytest.mark.parametrize("name", SUITES)
def test_a_mistake_in_a_contracts_file_is_told_with_that_file_and_line(lines, name):
    suite, number, words = SUITES[name]
    text = GOOD.replace(
        "contract:\n        - {type: expect_table_row_count_to_be_between, kwargs: {min_value: 1}}",
        "contract: contracts/shifts.yaml",
    )
    told = mistake(lines, text, contracts__shifts_yaml=suite)
    assert f"{lines}/press_faults/contracts/shifts.yaml:{number}: " in told
    assert words in told


def test_every_mistake_of_a_suite_is_told_at_once(lines):
    text = GOOD.replace(
        "contract:\n        - {type: expect_table_row_count_to_be_between, kwargs: {min_value: 1}}",
        "contract: contracts/shifts.yaml",
    )
    suite = (
        "expectations:\n"
        "  - {type: expect_column_values_to_be_valid_iban, kwargs: {column: plant}}\n"
        "  - {type: expect_column_values_to_not_be_null, kwargs: {column: x}}\n"
        "  - {type: unexpected_rows_expectation, kwargs: {unexpected_rows_query: SELECT 1}}\n"
    )
    told = mistake(lines, text, contracts__shifts_yaml=suite)
    assert [number for number in (2, 3, 4) if f"contracts/shifts.yaml:{number}: " in told] == [2, 3, 4]
    assert all(name in told for name in SUPPORTED)


def test_a_parameter_is_given_in_the_lines_file_and_one_that_nobody_asks_for_is_a_mistake(lines):
    count = "- {type: expect_table_row_count_to_be_between, kwargs: {min_value: 1}}"
    asked = count.replace("min_value: 1", "min_value: {$PARAMETER: least}")
    suite = f"contract_parameters: {{least: 1}}\n      contract:\n        {asked}"
    given = GOOD.replace(f"contract:\n        {count}", suite)
    assert "least: 1" in given
    assert mistake(lines, given) is None
    told = mistake(lines, given.replace("least: 1", "least: 1, most: 2"), "presses")
    assert f"presses/defs.yaml:{line_of(given, 'contract_parameters')}: " in told
    assert "none of its expectations has the parameter 'most'; they ask for least" in told


def test_a_line_may_look_at_the_world_as_of_today(lines):
    text = GOOD.replace('"2024-03-01"', "today").replace("  value:", '  schedule: "0 4 * * 1"\n  value:')
    assert mistake(lines, text) is None


def test_an_unknown_expectation_is_told_with_its_name_and_all_that_there_are(lines):
    told = mistake(lines, GOOD.replace("expect_table_row_count_to_be_between", "expect_table_to_be_pretty"))
    assert "press_faults/defs.yaml:" in told
    assert "expect_table_to_be_pretty: it is not supported" in told
    assert all(name in told for name in SUPPORTED)


@pytest.mark.parametrize("folder", ["presses of the north", "a.b", "x" * 64])
def test_a_folder_that_cannot_name_a_line_is_refused(lines, folder):
    assert mistake(lines, GOOD, folder) == (
        f"line name {folder!r} is refused: use 1 to 63 letters, digits, '_' or '-', the first a letter or digit"
    )


def copied(folder):
    """A whole project in a folder: this one, its lines to be broken."""
    for room in ("assets", "resources", "factory", "workspace.yaml", "pyproject.toml"):
        (folder / room).symlink_to(ROOT / room)
    shutil.copy(ROOT / "definitions.py", folder)
    shutil.copytree(ROOT / "lines", folder / "lines", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A project of which each line but one has a mistake, and the line number of the first one's."""
    root = copied(tmp_path_factory.mktemp("broken"))
    file = root / "lines/departure_delay/defs.yaml"
    file.write_text(file.read_text().replace("    min_rows: ", "    min_rowz: 1\n    min_rows: ", 1))
    written(root / "lines", GOOD.replace("presses:build", "presses:biuld"), "presses")
    written(root / "lines", "", "empty")
    return root, line_of(file.read_text(), "min_rowz")


def typed(root, *words):
    """What a person sees who types this in the project."""
    told = {**os.environ, "FACTORY_HOME": str(root / "home"), "COLUMNS": "80"}
    done = subprocess.run(words, cwd=root, env=told, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout, done.stderr


def test_factory_run_on_a_malformed_line_ends_with_one_message_and_exit_code_2(broken):
    root, number = broken
    code, out, errors = typed(root, BIN / "factory", "run", "departure_delay", "--home", str(root / "home"))
    assert code == 2
    told = f"{root}/lines/departure_delay/defs.yaml:{number}: gates.min_rowz: there is no such key"
    assert not out.strip()
    assert [line for line in errors.splitlines() if line.strip()] == [f"LineError: {told}; did you mean 'min_rows'?"]


def test_factory_status_tells_of_it(broken):
    root, number = broken
    code, _, errors = typed(root, BIN / "factory", "status", "--home", str(root / "home"))
    assert code == 0
    assert f"lines/departure_delay/defs.yaml:{number}: gates.min_rowz" in errors
    assert "has no 'biuld'" in errors  # its Python, too
    assert "turbofan_rul" not in errors


@pytest.mark.parametrize("command", ["yaml", "defs"])
def test_dg_check_shows_every_lines_mistakes(broken, command):
    root, number = broken
    code, out, errors = typed(root, BIN / "dg", "check", command)
    assert code == 1, out + errors
    assert f"lines/departure_delay/defs.yaml:{number}: gates.min_rowz" in out
    assert "lines/presses/defs.yaml:" in out
    assert "lines/empty/defs.yaml" in out
    assert "turbofan_rul" not in out
    assert "Traceback" not in out + errors


def test_the_other_lines_load_and_the_broken_ones_say_so_where_people_look(broken):
    """In one process as the code server does, with the command line's own way of loading."""
    root, number = broken
    code = (
        "from factory.orchestration.project import load_definitions; from pathlib import Path; import dagster as dg\n"
        "from factory.orchestration.launch import line_parts\n"
        "loaded = load_definitions(Path('.').resolve()); dg.Definitions.validate_loadable(loaded)\n"
        "print(*line_parts(loaded))\n"
        "specs = {spec.key.to_user_string(): spec for spec in loaded.resolve_all_asset_specs()}\n"
        "print('release' in ' '.join(specs), specs['departure_delay/cannot_be_loaded'].description)\n"
        "done = loaded.resolve_job_def('departure_delay_line_job').execute_in_process(raise_on_error=False)\n"
        "print(done.success)\n"
        "from factory.orchestration.broken_line import broken_line, broken_lines\n"
        "from factory.monitoring.alerts import Alerts\n"
        "sensor = loaded.get_sensor_def('tell_that_departure_delay_cannot_be_loaded')\n"
        "class Heard(Alerts):\n"
        "    def tell(self, kind, text, **named): print(kind, named)\n"
        "context = dg.build_sensor_context(resources={'alerts': Heard()})\n"
        "sensor(context); sensor(dg.build_sensor_context(cursor=context.cursor, resources={'alerts': Heard()}))\n"
    )
    code, out, errors = typed(root, sys.executable, "-c", code)
    assert code == 0, errors
    assert out.splitlines()[0] == "machine_failures turbofan_rul"
    assert out.splitlines()[1].startswith("True The line **departure_delay** cannot be loaded")
    assert f"lines/departure_delay/defs.yaml:{number}: gates.min_rowz" in out
    assert out.splitlines()[-2:] == ["False", "line cannot be loaded {'line': 'departure_delay'}"]
    assert "gates.min_rowz" in errors


def test_factory_check_tells_of_every_line(broken):
    root, _ = broken
    code, out, errors = typed(root, BIN / "factory", "check")
    assert code == 1
    assert [line.removeprefix(f"{root}/lines/").split(":")[0] for line in out.splitlines()] == [
        "departure_delay/defs.yaml",
        "empty/defs.yaml",
        "presses/defs.yaml",
    ]
    assert errors.strip() == "machine_failures, turbofan_rul: no mistakes"
    assert typed(root, BIN / "factory", "check", "turbofan_rul")[0] == 0
    assert typed(root, BIN / "factory", "check", "turbofan")[0] == 2


@pytest.mark.parametrize(
    ("code", "number", "words"),
    [
        ("import os\n\nraise RuntimeError('no disk')\n", 3, "RuntimeError: no disk"),
        ("import os\ndef broken(:\n", 2, "SyntaxError"),
        ("import sys\nsys.exit('bye')\n", 2, "SystemExit: bye"),
        ("defs = 3\n", None, "`defs` is no dagster.Definitions"),
    ],
)
def test_an_error_in_definitions_is_told_with_its_line_and_no_traceback(tmp_path, code, number, words):
    (tmp_path / "definitions.py").write_text(code)
    with pytest.raises(LineError) as told:
        load_definitions(tmp_path)
    assert f"{tmp_path}/definitions.py:{f'{number}: ' if number else ''}" in str(told.value)
    assert words in str(told.value)
    assert len(str(told.value).splitlines()) <= 2


@pytest.fixture(autouse=True)
def same_definitions():
    """Whatever a test loads as `definitions`, the next one does not meet."""
    path, before = list(sys.path), sys.modules.get("definitions")
    yield
    sys.path[:] = path
    sys.modules.pop("definitions", None)
    if before is not None:
        sys.modules["definitions"] = before
