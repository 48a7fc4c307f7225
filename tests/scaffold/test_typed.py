"""`factory new line` as a person types it: words, exit codes, what is said; and a line that runs at once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scaffold.others import affairs, iris, riots

ROOT = Path(__file__).resolve().parents[2]
FACTORY = [sys.executable, "-c", "from factory.cli import main; main()"]


def typed(folder, *words, command=FACTORY):
    wide = {
        **os.environ,
        "COLUMNS": "200",
        "NO_COLOR": "1",
        "PYTHONPATH": str(folder if (folder / "factory").is_dir() else ROOT),
        "FACTORY_HOME": str(folder / ".factory"),
    }
    done = subprocess.run(
        [*command, *words], cwd=folder, env=wide, capture_output=True, text=True, timeout=600, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lines").mkdir()
    (tmp_path / "definitions.py").write_text("")
    return tmp_path


def test_it_says_what_was_written_what_was_left_out_and_what_to_type_next(folder):
    riots(folder)
    code, out, errors = typed(folder, "new", "line", "riots", "--from", "la-riots.csv", "--target", "gender")
    assert (code, errors) == (0, "")
    assert "lines/riots: 63 rows" in out
    assert "left out as personal data: 'first_name', 'last_name', 'address'" in out
    assert "Read lines/riots/README.md" in out
    assert "  factory run riots" in out.splitlines()
    assert "at: la-riots.csv" in (folder / "lines" / "riots" / "defs.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("riots", "--from", "la-riots.csv", "--target", "gendr"), "did you mean 'gender'"),
        (("riots", "--from", "riots.csv", "--target", "gender"), "there is no file"),
        (("Riots", "--from", "la-riots.csv", "--target", "gender"), "how about 'riots'?"),
        (("riots", "--from", "la-riots.csv", "--target", "address"), "neither numbers nor at most 300 classes"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words, said, folder):
    riots(folder)
    code, out, errors = typed(folder, "new", "line", *words)
    assert (code, out) == (2, "")
    assert len(errors.splitlines()) == 1
    assert said in errors
    assert not list((folder / "lines").iterdir())


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of this project without lines, then with two new ones."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "lines").mkdir()
    shutil.copy(ROOT / "lines" / "__init__.py", folder / "lines")
    for name in ("assets", "resources", "factory"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("definitions.py", "workspace.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    assert typed(folder, "new", "line", "flowers", "--from", str(iris(folder)), "--target", "kind")[0] == 0
    assert typed(folder, "new", "line", "affairs", "--from", str(affairs(folder)), "--target", "affair")[0] == 0
    return folder


@pytest.mark.slow
def test_new_lines_pass_the_orchestrators_checks(project):
    dg = [str(Path(sys.executable).with_name("dg")), "check"]
    for what in ("yaml", "defs"):
        code, out, errors = typed(project, what, command=dg)
        assert code == 0, out + errors


@pytest.mark.slow
def test_a_new_line_runs_at_once_and_serves(project):
    code, out, errors = typed(project, "run", "affairs")
    assert code == 0, out + errors
    site = json.loads(typed(project, "status", "--json")[1])["lines"]["affairs"]["sites"]["all"]
    assert site["verdict"]["passed"]
    assert site["serving"]["version"] == 1
    assert "affairs" not in (project / "lines" / "affairs" / "features.py").read_text().replace('tables["affairs"]', "")
