"""Which edit of the library's own code does what again: digests of a copy of the library whose files are edited."""

import functools
import importlib.util
import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from factory.model import code
from factory.pipeline.stages import STAGES

DATA, MODELS = ("clean", "features"), ("base_model", "site_model")
FINGERPRINTED = {stage.name: stage for stage in STAGES if stage.sections or stage.rooms}
NUMBERS = itertools.count()


@pytest.fixture
def library(tmp_path):
    """A copy of the library's folder."""
    folder = tmp_path / "factory"
    shutil.copytree(code.LIBRARY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def loaded(library):
    """The module that takes digests, as a new process would have it: of the copy, and without anything remembered."""
    spec = importlib.util.spec_from_file_location(f"copied_code_{next(NUMBERS)}", library / "model" / "code.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def digests(library):
    """The digest of each stage's code, and of what draws its pages."""
    fresh = loaded(library)
    stages = {
        name: fresh.library_digest(f"pipeline/{stage.module}.py", *stage.rooms) for name, stage in FINGERPRINTED.items()
    }
    return {**stages, "drawing": fresh.drawing_digest()}


@functools.cache
def digests_before():
    """The digests of the library as it is, and so of a copy."""
    return digests(code.LIBRARY)


def changed(library, file, edit):
    """The stages whose digest another text of a file changes."""
    before, place = digests_before(), library / file
    text = place.read_text()
    place.write_text(edit(text))
    assert place.read_text() != text
    after = digests(library)
    return {name for name in before if before[name] != after[name]}


def commented(text):
    return f"# somebody's note\n{text}\n\n# the end\n"


def with_another_constant(text):
    return f"{text}\nSOMETHING_NEW = 1\n"


def test_a_copy_that_lies_elsewhere_has_the_same_digests(library):
    assert digests(library) == digests_before()


FILES = ["data/cleaning.py", "training/loop.py", "evaluation/gates.py", "tasks/binary/task.py", "pipeline/verdict.py"]


@pytest.mark.parametrize("file", FILES)
def test_comments_docstrings_and_layout_change_no_digest(library, file):
    def rewritten(text):
        first = text.index('"""')
        other = text[:first] + '"""Other words."""' + text[text.index('"""', first + 3) + 3 :]
        return commented(other)

    assert changed(library, file, rewritten) == set()
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--line-length", "60", str(library / file)], check=False
    )
    assert formatted.returncode == 0
    assert digests(library) == digests_before()


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("data/cleaning.py", {"clean"}),
        ("data/contract/row_rules.py", {"clean"}),
        ("pipeline/clean.py", {"clean"}),
        ("pipeline/features.py", {"features"}),
        ("pipeline/base_model.py", {"base_model"}),
        ("pipeline/site_model.py", {"site_model"}),
        ("pipeline/verdict.py", {"verdict"}),
        ("training/loop.py", set(MODELS)),
        ("line/recipe.py", set(MODELS)),
        ("line/split.py", {*MODELS, "verdict"}),
        ("features/samples.py", {*MODELS, "verdict"}),
        ("tasks/binary/task.py", {*MODELS, "verdict"}),
        ("evaluation/gates.py", {"verdict"}),
        ("line/gates.py", {"verdict"}),
        ("model/payoff.py", {"verdict"}),
        ("tasks/binary/pictures.py", {"drawing"}),
        ("charts/drawing.py", {"drawing"}),
        ("reports/site_page.py", {"drawing"}),
        ("pipeline/release.py", set()),
        ("pipeline/drift.py", set()),
        ("gateway/models/entry.py", set()),
        ("cli/progress.py", set()),
        ("orchestration/ops.py", set()),
        ("registry/registry.py", set()),
    ],
)
def test_a_changed_line_of_code_does_again_what_its_room_decides_and_no_more(library, file, stages):
    assert changed(library, file, with_another_constant) == stages


def test_a_changed_template_or_style_of_a_page_retrains_nothing(library):
    for file in ("reports/site.html", "reports/style.css"):
        place = next(library.glob(f"**/{Path(file).name}")).relative_to(library)
        assert changed(library, place, lambda text: f"{text}\n") == {"drawing"}


def test_a_room_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no room or file 'trainnig'"):
        code.library_digest("trainnig")


def test_a_new_file_in_a_room_counts_and_one_that_only_draws_does_not(library):
    before = digests_before()
    (library / "training" / "another.py").write_text("X = 1\n")
    (library / "tasks" / "binary" / "curves.py").write_text("X = 1\n")
    after = digests(library)
    assert {name for name in before if before[name] != after[name]} == {*MODELS, "drawing"}
