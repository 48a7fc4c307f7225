"""Nothing in a table becomes code, YAML or a template: whatever its names and values, its line is just a line."""

import ast
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.scaffold.profiling.naming import RESERVED, line_names
from factory.scaffold.texts import python_text, yaml_value
from factory.storage.columns import BOOKKEEPING
from tests.scaffold.lines import cleaned, features, importable, loaded, project, written

ROOT = Path(__file__).resolve().parents[2]
CRUEL = [
    'x"); import os; os.system("touch pwned"); ("',
    "{{ env('HOME') }}",
    "{% raw %}",
    "^.*$",
    "*",
    " ",
    "a: b\n- c",
    "!!python/object/apply:os.system [touch pwned]",
    "'''",
    '"""\nraise SystemExit\n"""',
    "\\",
    "site",
    "label",
    "decided_at",
    "_load",
    "_row",
    "rule",
    "class",
    "None",
    "名前",
    "Größe in cm",
    "тест",
    "a|b`c<script>alert(1)</script>",
    "../../etc/passwd",
    "0.0.0.0",  # noqa: S104  a value like any other
    "/tmp/x",  # noqa: S108  the same
    "🙂",
    "\u202eevil",
    "x\x85y\x00z\u2028w",
    "#",
    "%d",
    "~",
    "yes",
    "1e5",
    "a" * 300,
]
SHORT = [value for value in CRUEL if len(value) < 12 and value.strip()]
NAMES = st.one_of(st.sampled_from(CRUEL), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))


@given(st.lists(NAMES, unique=True, max_size=30))
def test_names_in_a_line_are_identifiers_and_no_two_alike(columns):
    names = line_names(columns)
    assert list(names) == columns
    assert len({name.lower() for name in names.values()}) == len(columns)
    for name in names.values():
        assert name.isidentifier()
        assert name.isascii()
        assert name[0].isalpha()
        assert len(name) <= 40
        assert name not in RESERVED | BOOKKEEPING


@given(NAMES)
def test_a_text_in_python_and_in_yaml_is_that_text(text):
    assert ast.literal_eval(python_text(text)) == text
    written_ = yaml_value({"at": text, text: [text]})
    assert "\n" not in written_
    assert yaml.safe_load(written_) == {"at": text, text: [text]}


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(NAMES, min_size=3, max_size=8, unique=True), st.lists(NAMES, min_size=2, max_size=5, unique=True))
def test_a_line_of_a_hostile_table_is_written_loads_and_runs(columns, values):
    with tempfile.TemporaryDirectory() as folder:
        root = project(Path(folder))
        target, *others = sorted(columns, key=bool, reverse=True)  # a column without a name cannot be asked for
        said = [value for value in values if value.strip()] or ["x"]
        frame = pl.DataFrame(
            {
                target: [number % 2 for number in range(120)],
                others[0]: [number * 7 % 11 for number in range(120)],
                **{name: [said[number * 5 % 13 % len(said)] for number in range(120)] for name in others[1:]},
            }
        )
        frame.write_parquet(root / "table.parquet")
        made = written(root, "hostile", root / "table.parquet", target)
        for place in made.folder.rglob("*.py"):
            ast.parse(place.read_text())
        attributes = yaml.safe_load((made.folder / "defs.yaml").read_text())["attributes"]
        assert "{{" not in attributes["purpose"] + "".join(attributes["features"]["columns"].values())
        with importable(root):
            line, source = loaded(root, "hostile")
            rows = features(line, cleaned(line, source))
        assert len(rows) == 120
        # A column may have been taken for the sites', and then rows come site by site.
        assert sorted(rows["label"]) == [0.0] * 60 + [1.0] * 60


def test_a_table_of_all_cruel_names_and_values_passes_the_checks_and_touches_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = project(tmp_path)
    columns = {f"{name}{place}" if name in ("", " ") else name: place for place, name in enumerate(CRUEL)}
    frame = pl.DataFrame(
        {
            "y": [number % 3 for number in range(200)],
            "x": [number * 7 % 31 for number in range(200)],
            **{
                name: [CRUEL[(number * 11 + place) % len(CRUEL)] for number in range(200)]
                for name, place in columns.items()
            },
            "kind": [SHORT[number % len(SHORT)] for number in range(200)],
        }
    )
    frame.write_parquet("table.parquet")
    made = written(root, "hostile", root / "table.parquet", "y")
    (root / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "lines"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
    with importable(root):
        line, source = loaded(root, "hostile")
        assert len(features(line, cleaned(line, source))) == 200
    assert any(feature.group == "categories" for feature in made.plan.features)
    assert not list(tmp_path.rglob("pwned"))
    assert "<script>" not in (made.folder / "README.md").read_text()
