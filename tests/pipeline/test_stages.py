"""The stage table: every row can be done, reads what is made before it, and is what people are told of it."""

import re
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from factory.errors import LineError
from factory.model.code import library_digest
from factory.pipeline.fingerprints import SECTIONS
from factory.pipeline.stages import NAMES, OPERATING, RUNS, STAGES, TRAINING, checked_stage, comes_before, steps
from tests.toy.line import toy_line

ROOT = Path(__file__).resolve().parents[2]
ORDER = [kind.name for kind in RUNS]


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
def test_each_row_names_a_module_with_a_function_of_its_name_that_takes_what_it_goes_through(stage):
    does = getattr(import_module(f"factory.pipeline.{stage.module}"), stage.module)
    assert list(signature(does).parameters) == (["run", "table"] if stage.by_table else ["run"])
    assert does.__doc__


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
def test_each_row_names_rooms_and_sections_that_are_there(stage):
    assert library_digest(f"pipeline/{stage.module}.py", *stage.rooms)  # raises for a place that is none
    assert set(stage.sections) <= set(SECTIONS)
    assert stage.run in ORDER


def test_the_names_are_unique_and_the_runs_are_in_their_order():
    assert len(set(NAMES)) == len(NAMES)
    assert [ORDER.index(stage.run) for stage in STAGES] == sorted(ORDER.index(stage.run) for stage in STAGES)


def test_each_step_reads_what_an_earlier_one_makes_or_what_was_released_before():
    """Of the release the operations read the one that serves since an earlier run: they come before the models."""
    made = set()
    line = toy_line()
    for step in steps(line):
        before = made | ({"release"} if step.stage.run == "operations" else set())
        assert set(step.reads) <= before, step.name
        assert not set(step.makes) & made, step.name
        made |= set(step.makes)
    assert {"raw/shifts", "clean_shifts", "raw/parts", "clean", "quarantine", "release", "report"} <= made


def test_a_line_without_a_stage_has_no_step_of_it():
    assert "online_snapshot" not in [step.name for step in steps(replace(toy_line(), online_snapshot=None))]


def test_operating_trains_and_releases_nothing_and_training_judges_nothing():
    assert set(OPERATING) == {stage.name for stage in STAGES if stage.run in ("data", "operations")}
    assert not set(OPERATING) & {"base_model", "site_model", "verdict", "release", "report"}
    assert set(TRAINING) == {"base_model", "site_model"}


def test_a_stage_comes_before_those_after_it_and_nothing_comes_before_no_stage():
    for number, stage in enumerate(NAMES):
        assert [comes_before(stage, other) for other in NAMES] == [number < other for other in range(len(NAMES))]
        assert not comes_before(stage, "")


def test_a_name_that_is_no_stage_is_refused_with_those_there_are():
    assert [checked_stage(name) for name in ("", *NAMES)] == ["", *NAMES]
    with pytest.raises(LineError, match=rf"no stage 'cleaning'; a line's stages are {', '.join(NAMES)}"):
        checked_stage("cleaning")


def test_each_thing_a_line_makes_has_a_sentence():
    for step in steps(toy_line()):
        for name, sentence in step.makes.items():
            assert sentence.endswith("."), name
            assert "{" not in name + sentence, name


def test_the_table_of_assets_in_the_docs_has_what_a_line_makes_and_nothing_else():
    text = (ROOT / "docs" / "data.md").read_text()
    table = text[text.index("| asset | what it holds |") :].split("\n\n")[0]
    told = {name for row in table.splitlines()[2:] for name in re.findall(r"`([\w/<>]+)`", row.split("|")[1])}
    names = {"{raw}": "raw/<table>", "{clean}": "clean", "{quarantine}": "quarantine", "{announced}": "announced"}
    assert told == {names.get(name, name) for stage in STAGES for name in stage.makes}


WITHOUT_DAGSTER = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("dagster", "dagster_shared"):
            raise ImportError(f"{name} is blocked in this test")

sys.meta_path.insert(0, Blocked())
import tests.pipeline.test_runner as test_runner
from pathlib import Path

test_runner.test_a_site_goes_through_a_real_stage_and_the_next_time_nothing_is_to_do(Path(sys.argv[1]))
from factory.pipeline.stages import STAGES
from importlib import import_module
for stage in STAGES:
    import_module(f"factory.pipeline.{stage.module}")
assert not [name for name in sys.modules if name.split(".")[0] == "dagster"]
"""


def test_a_stage_runs_where_dagster_cannot_be_imported(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DAGSTER, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_only_orchestration_imports_dagster():
    """Lazily within functions, too; the import contract sees whole modules, this sees every line."""
    importing = re.compile(r"^\s*(?:from|import)\s+dagster", re.MULTILINE)
    found = [path.relative_to(ROOT) for path in (ROOT / "factory").rglob("*.py") if importing.search(path.read_text())]
    assert {path.parts[1] for path in found} == {"orchestration"}
