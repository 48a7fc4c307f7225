"""One class knows every path of a home, and one function where the home and its lake are."""

import ast
from pathlib import Path

import pytest

from factory.errors import EnvironmentRefused
from factory.storage.home import Home, history_beside

ROOT = Path(__file__).resolve().parents[2]
AT = Home.at(Path("/home"))
PLACES = {name for name, value in vars(Home).items() if isinstance(value, property)} - {"tracking_uri"}
NAMES = {getattr(AT, name).name for name in PLACES} | {"lake", "mlflow.db", "backtest"}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "lines" / "press").mkdir(parents=True)
    (tmp_path / "definitions.py").touch()
    return tmp_path


@pytest.mark.parametrize("place", [".", "lines", "lines/press"])
def test_by_default_the_home_is_beside_definitions_wherever_one_stands_in_the_project(project, monkeypatch, place):
    monkeypatch.chdir(project / place)
    assert Home.found({}).root == project / ".factory"


def test_a_folder_that_is_named_wins_over_the_environment_and_that_over_the_default(project, monkeypatch):
    monkeypatch.chdir(project)
    variables = {"FACTORY_HOME": "far"}
    assert Home.found(variables, project / "named").root == project / "named"
    assert Home.found(variables).root == project / "far"
    assert Home.found({"FACTORY_HOME": ""}).root == project / ".factory"


@pytest.mark.parametrize("named", [None, "named"])
def test_the_lake_is_in_the_home_unless_the_environment_names_another(project, monkeypatch, named):
    monkeypatch.chdir(project)
    root = project / named if named else None
    assert Home.found({}, root).lake == str(project / (named or ".factory") / "lake")
    assert Home.found({"FACTORY_LAKE": "s3://bucket/lake"}, root).lake == "s3://bucket/lake"
    assert Home.found({"FACTORY_LAKE": "far/lake"}, root).lake == str(project / "far" / "lake")  # from where one stands


def test_options_of_an_object_store_are_a_json_object():
    assert Home.found({"FACTORY_LAKE_OPTIONS": '{"aws_region": "eu"}'}, Path("h")).lake_options == {"aws_region": "eu"}
    with pytest.raises(EnvironmentRefused, match="FACTORY_LAKE_OPTIONS is no JSON object of texts"):
        Home.found({"FACTORY_LAKE_OPTIONS": "aws_region=eu"}, Path("h"))


def test_a_process_that_is_started_from_here_finds_the_same_home(project, monkeypatch):
    monkeypatch.chdir(project)
    home = Home.found({"FACTORY_LAKE": "far/lake"})
    monkeypatch.chdir(project / "lines")
    assert Home.found(home.environment()) == home


def test_no_two_things_are_kept_in_one_place():
    places = [getattr(AT, name) for name in PLACES]
    assert len(set(places)) == len(places)
    assert all(AT.root in place.parents for place in places)
    assert history_beside(AT.models) == AT.history


def paths_written_out(file):
    """Yield the line of each `folder / "name"`, `Path(…, "name")` or `joinpath("name")` with a name of the home's."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        parts = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = [node.right, node.left]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {"Path", "joinpath"}:
            parts = node.args
        written = {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}
        if {name for text in written for name in text.split("/")} & NAMES:
            yield f"{file.relative_to(ROOT)}:{node.lineno}"


def test_nothing_but_home_writes_a_path_of_the_home_out():
    folders = [ROOT / folder for folder in ("factory", "resources", "assets", "benchmarks")]
    files = [ROOT / "definitions.py", *(file for folder in folders for file in folder.rglob("*.py"))]
    found = [place for file in files if file.name != "home.py" for place in paths_written_out(file)]
    assert found == []


def test_the_scan_finds_a_path_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    file = tmp_path / "module.py"
    for code in ('home / "models"', 'Path("keys", "gateway.json")', 'home.joinpath("lake")', 'home / "docs/site"'):
        file.write_text(code)
        assert list(paths_written_out(file)), code
    file.write_text('line / "models.py"')
    assert not list(paths_written_out(file))
