"""A project of one's own: in this repository's shape, whole or not at all, and it runs from the wheel alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from factory.errors import LineError, NameRefused
from factory.release import ModelRepository
from factory.scaffold.new_project import files_of, new_project

ROOT = Path(__file__).resolve().parents[2]
SAME = ("definitions.py", "workspace.yaml", "assets/__init__.py", "lines/__init__.py")
ORDERS = "order_id,ordered_at,shop,price,items,returned\n" + "".join(
    f"{n},2026-{1 + n // 160:02}-{1 + n % 28:02}T{n % 24:02}:00:00,{'ulm' if n % 2 else 'bonn'},"
    f"{5 + n * 37 % 90},{1 + n % 4},{int((n * 37 % 90 > 55) != (n % 11 == 0))}\n"
    for n in range(960)
)


def test_this_repository_is_itself_such_a_project():
    """What every project has is the same here, to the letter: a change of one is a change of both."""
    files = files_of("ours")
    resources = [str(path.relative_to(ROOT)) for path in (ROOT / "resources").glob("*.py")]
    for name in (*SAME, *resources):
        assert files[name] == (ROOT / name).read_text(), name
    assert {"pyproject.toml", "README.md", "tests/test_project.py", ".ci/run", ".gitignore"} <= set(files)


def test_the_library_is_a_dependency_with_its_version(tmp_path):
    made = new_project("Our_Models", tmp_path)
    text = (made.folder / "pyproject.toml").read_text()
    assert 'name = "our-models"' in text
    assert 'dependencies = ["ai-factory>=0.1.0,<0.2"]' in text
    assert os.access(made.folder / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("name", ["", "..", "a/b", "1st", "-x", "a b"])
def test_a_name_that_is_no_folder_is_refused(tmp_path, name):
    with pytest.raises(NameRefused):
        new_project(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "ours").mkdir()
    with pytest.raises(LineError, match="exists already"):
        new_project("ours", tmp_path)
    assert not list((tmp_path / "ours").iterdir())


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LineError, match="cannot be written"):
        new_project("ours", tmp_path / "file")


@pytest.mark.slow
def test_from_the_wheel_to_an_answer_of_the_gateway_in_another_folder(environment, tmp_path):
    """`new project`, `new line`, `run`, `doctor`, CI's tests and `serve`, without this repository."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FACTORY", "DAGSTER"))}
    plain |= {"PATH": f"{environment}:{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "160"}

    def typed(*words, folder=tmp_path, code=0):
        done = subprocess.run(words, cwd=folder, env=plain, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == code, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    factory = str(environment / "factory")
    where = typed(str(environment / "python"), "-c", "import factory; print(factory.__file__)")
    assert str(ROOT) not in where
    typed(factory, "new", "project", "ours")
    project = tmp_path / "ours"
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "new"]):
        typed("git", *words, folder=project)
    (project / "orders.csv").write_text(ORDERS)
    words = ["--from", "orders.csv", "--target", "returned", "--time", "ordered_at", "--site", "shop"]
    typed(factory, "new", "line", "orders", *words, folder=project)
    assert "Summary" in typed(factory, "run", "orders", folder=project / "lines")
    sites = json.loads(typed(factory, "status", "--json", folder=project))["lines"]["orders"]["sites"]
    assert set(sites) == {"bonn", "ulm"}
    assert (project / ".factory").is_dir()
    commit = typed("git", "rev-parse", "HEAD", folder=project).strip()
    (served, *_) = [site for site, state in sites.items() if state["serving"]]
    manifest = ModelRepository(project / ".factory" / "models").current(f"orders.{served}")
    assert manifest.provenance["git_commit"].startswith(commit)
    typed(str(environment / "python"), "-m", "pytest", "-q", folder=project)
    answer = _asked(factory, project, plain, f"orders.{served}", manifest.example)
    assert len(answer["outputs"][0]["data"]) == 1


def _asked(factory, project, environment, model, example):
    """One answer of `factory serve` in the project, on a port of its own."""
    import httpx

    with subprocess.Popen(
        [factory, "serve", "--port", "0"], cwd=project, env=environment, stderr=subprocess.PIPE, text=True
    ) as gateway:
        try:
            line = next(line for line in gateway.stderr if "listening on " in line)
            address = line.split("listening on ", 1)[1].split()[0].rstrip(";,")
            row = {"name": "features", "shape": [1, len(example)], "datatype": "FP32", "data": example}
            return httpx.post(f"{address}/v2/models/{model}/infer", json={"inputs": [row]}).raise_for_status().json()
        finally:
            gateway.terminate()
