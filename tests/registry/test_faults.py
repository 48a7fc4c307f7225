"""What MLflow stands on fails, or somebody tidies up in it: one sentence, and a home that trains again."""

import http.server
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from mlflow.exceptions import MlflowException, RestException

from factory.errors import RegistryError, ReleaseRefused
from factory.registry.database import prepare_database
from factory.registry.faults import Client, registry_faults
from factory.registry.registry import Registry
from factory.storage.locks import FileLocks
from tests.registry.test_registry import candidate, promoted, verdict
from tests.toy.line import empty_database, registry_arguments, registry_at

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path):
    """Return a home whose registry has nothing in it yet."""
    (tmp_path / "mlflow.db").write_bytes(empty_database())
    return tmp_path


# --- the database: whole or not at all

MAKES = """
import sys
from pathlib import Path
from tests.toy.line import registry_at

registry_at(Path(sys.argv[1])).champion("a.b")
"""


def tables_made(home):
    """How many tables the database that is being made has by now."""
    for draft in home.glob(".new-mlflow.db-????????????????"):
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(draft)) as database:
            return database.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
    return 0


@pytest.mark.slow
@pytest.mark.parametrize("tables", [1, 40])
def test_a_run_killed_while_the_tables_are_made_leaves_none_and_the_next_one_trains(tmp_path, tables):
    home = tmp_path / "home"
    making = subprocess.Popen([sys.executable, "-W", "ignore", "-c", MAKES, str(home)], cwd=ROOT)
    while making.poll() is None and tables_made(home) < tables:
        time.sleep(0.002)
    making.send_signal(signal.SIGKILL)
    making.wait()
    assert not (home / "mlflow.db").exists()
    assert registry_at(home).register(candidate("munich")).version == 1
    assert not list(home.glob(".new-*"))


REGISTRY_TABLES = "2b4d017a5e9b"
"""MLflow's revision that adds the tables of registered models."""


def half_made(home, how):
    """Leave the database as earlier versions of this factory did when they were killed while making it."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    file = home / "mlflow.db"
    file.unlink(missing_ok=True)
    engine = sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool)
    if how != "empty":
        Base.metadata.create_all(engine)
    if how in ("some revisions", "a table too many"):
        with engine.begin() as connection:
            config = _get_alembic_config(str(engine.url))
            config.attributes["connection"] = connection
            command.upgrade(config, REGISTRY_TABLES if how == "some revisions" else f"{REGISTRY_TABLES}-1")
    if how == "a table too many":
        with closing(sqlite3.connect(file)) as database:
            database.execute("CREATE TABLE registered_models (name TEXT)")
    if how == "empty":
        file.touch()


@pytest.mark.parametrize(
    "how", [pytest.param("empty", marks=pytest.mark.slow), "first tables", "some revisions", "a table too many"]
)
def test_a_home_whose_tables_are_half_made_is_mended(tmp_path, how):
    half_made(tmp_path, how)
    registry = registry_at(tmp_path)
    assert registry.register(candidate("munich")).version == 1
    assert registry_at(tmp_path).champion("brewing.munich") is None


def test_a_database_with_somebodys_rows_is_never_made_anew(home):
    registry_at(home).register(candidate("munich"))
    with closing(sqlite3.connect(home / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '2b4d017a5e9b'")
    content = (home / "mlflow.db").read_bytes()
    prepare_database(home / "mlflow.db", FileLocks(home / "locks"))
    assert (home / "mlflow.db").read_bytes() == content


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path):
    (tmp_path / "mlflow.db").write_text("notes of a person, which are no database at all")
    with pytest.raises(RegistryError, match=r"MLflow at sqlite:///.*mlflow\.db, failed: .*not a database"):
        registry_at(tmp_path).champion("a.b")
    assert (tmp_path / "mlflow.db").read_text().startswith("notes")


# --- runs whose process died

DIES = """
import os, signal, sys
from pathlib import Path
from factory.registry.connection import Connection
from factory.registry.registry import Registry
from tests.registry.test_registry import candidate
from tests.toy.line import registry_arguments

class Deadly(Connection):
    def put_folder(self, uri, folder):
        os.kill(os.getpid(), signal.SIGKILL)

class Dying(Registry):
    @property
    def connection(self):
        return Deadly(self.tracking_uri, self.locks)

Dying(**registry_arguments(Path(sys.argv[1]))).register(candidate("munich"))
"""


def test_a_run_whose_process_was_killed_is_ended_by_the_next_one_and_nobody_elses_is(home):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", DIES, str(home)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    watcher = registry_at(home).connection.runs
    experiment = watcher.get_experiment_by_name("brewing").experiment_id
    (dead,) = watcher.search_runs([experiment])
    assert dead.info.status == "RUNNING"
    foreign = watcher.create_run(experiment, run_name="a notebook").info.run_id
    living = watcher.create_run(experiment, tags={"line": "brewing", "site": "berlin", "digest": "abc"}).info.run_id
    other = registry_at(home)
    with FileLocks(home / "locks").hold("registry.brewing.berlin"):  # as who registers a model of berlin holds it
        other.register(candidate("munich"))
    status = {run: watcher.get_run(run).info.status for run in (dead.info.run_id, foreign, living)}
    assert status == {dead.info.run_id: "KILLED", foreign: "RUNNING", living: "RUNNING"}
    assert "its process died" in watcher.get_run(dead.info.run_id).data.tags["ended"]
    assert watcher.get_run(dead.info.run_id).info.end_time


# --- somebody tidies up


def test_where_the_model_was_deleted_no_number_of_its_history_is_given_again(home):
    registry = registry_at(home)
    first, second, third = (candidate("munich", weight) for weight in (1.0, 2.0, 3.0))
    promoted(registry, first)
    promoted(registry, second)
    registry.connection.runs.delete_registered_model("brewing.munich")
    kept = registry.register(third)
    assert kept.version == 3
    registry.promote(kept.model, 3, verdict(third), by="lena")
    assert registry.champion(kept.model).digest == third.digest
    assert registry.register(candidate("munich", 4.0)).version == 4


def test_where_the_experiment_was_deleted_it_is_said_how_to_bring_it_back(home):
    registry = registry_at(home)
    experiment = registry.connection.experiment("brewing", str(home / "artifacts"))
    registry.connection.runs.delete_experiment(experiment)
    with pytest.raises(RegistryError, match=f"deleted its experiment .* mlflow experiments restore -x {experiment}"):
        registry_at(home).register(candidate("munich"))
    registry.connection.runs.restore_experiment(experiment)
    assert registry_at(home).register(candidate("munich")).version == 1


def test_a_version_that_was_deleted_is_refused_with_how_to_make_it_anew(home):
    registry = registry_at(home)
    kept = registry.register(candidate("munich"))
    registry.connection.runs.delete_model_version(kept.model, str(kept.version))
    with pytest.raises(ReleaseRefused, match=r"somebody deleted it in MLflow.*factory run brewing --from site_model"):
        registry.onnx(kept.model, kept.version)
    assert registry.register(candidate("munich")).version == 2


# --- what MLflow, its database or its server say


class Says:
    """A client whose every call raises an error."""

    tracking_uri = "http://user:hunter22@mlflow.example"

    def __init__(self, error):
        self.error = error

    def get_run(self, run_id):
        raise self.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MlflowException("Run with id=abc not found", 1), "Run with id=abc not found; somebody deleted it"),
        (MlflowException("API request failed with exception HTTPConnectionPool(host='x')"), "is it up"),
        (RestException({"error_code": "PERMISSION_DENIED", "message": "HTTP 403"}), "let its administrator permit"),
        (MlflowException("Detected out-of-date database schema"), "back the database up, then run `mlflow db upgrade`"),
        (MlflowException("HTTP 401 Unauthorized"), "MLFLOW_TRACKING_TOKEN"),
        (sa.exc.OperationalError("SELECT 1", {}, OSError("password authentication failed")), "mend user and password"),
        (sa.exc.OperationalError("SELECT 1", {}, OSError("database is locked")), "another program has held it"),
        (sa.exc.ProgrammingError("x", {}, OSError('relation "runs" already exists')), "its tables are half made"),
        (ModuleNotFoundError("No module named 'boto3'"), "install that package"),
        (ConnectionError("https://user:hunter22@mlflow.example/api?token=abcdef refused"), "is it up"),
        (KeyError("artifact_uri"), "artifact_uri"),
        (ConnectionError("http://127.0.0.1:40133/api did not answer"), "is it up"),  # a port that looks like a status
    ],
)
def test_whatever_a_call_into_mlflow_raises_is_one_sentence_and_has_no_secret(error, words):
    client = Client(Says(error), "http://user:hunter22@mlflow.example")
    with pytest.raises(RegistryError) as caught:
        client.get_run("abc")
    told = str(caught.value)
    assert words in told
    for part in ("MLflow at http://***@mlflow.example", "(get run)", "what is served goes on", "run the same command"):
        assert part in told
    assert "\n" not in told
    assert "hunter22" not in told
    assert "abcdef" not in told
    assert caught.value.__cause__ is not None


def test_a_full_disk_below_the_registry_is_told_as_such(tmp_path):
    with (
        pytest.raises(RegistryError, match=r"the disk of .* is full .*make room there"),
        registry_faults(f"sqlite:///{tmp_path}/mlflow.db"),
    ):
        raise MlflowException("(sqlite3.OperationalError) database or disk is full")


class Broken(http.server.BaseHTTPRequestHandler):
    """Answers everything with 500."""

    def do_GET(self):
        self.send_response(500)
        self.end_headers()
        self.wfile.write(b"Internal Server Error")

    do_POST = do_GET  # noqa: N815  as http.server calls it

    def log_message(self, *_):
        """Say nothing."""


def test_a_server_that_answers_500_is_named_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        registry = Registry(**{**registry_arguments(tmp_path), "tracking_uri": address})
        with pytest.raises(RegistryError, match=rf"MLflow at {address}, failed: .*500.*is it up"):
            registry.champion("brewing.munich")
        server.shutdown()


def test_a_home_that_may_not_be_written_is_named(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o555)
    with pytest.raises(RegistryError, match="may not write or read there"):
        registry_at(tmp_path / "home").champion("a.b")
