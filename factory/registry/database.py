"""MLflow's database of a home: made whole or not at all, and made anew where an earlier attempt was killed half-way.

MLflow makes its tables one by one, over seconds, and refuses a database that has only some of them. So they are made in
a file of a temporary name, which takes the database's name when it is whole. A half-made file that holds no run and no
model is put out of the way; one that holds any is never touched.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from factory.storage.atomic_files import TEMPORARY, sync_folder, temporary_name
from factory.storage.locks import Locks

LOCK = "registry.database"
_HOLDING = {"runs": 0, "registered_models": 0, "logged_models": 0, "trace_info": 0, "experiments": 1}
"""Tables whose rows somebody would miss, and how many rows a new database has."""

_VERSIONS = """
    SELECT one.name, one.version, tag.value FROM model_versions AS one
    LEFT JOIN model_version_tags AS tag ON (tag.name, tag.version, tag.key) = (one.name, one.version, 'digest')
    WHERE one.current_stage != 'Deleted_Internal'
"""
"""Every version that nobody deleted."""


def prepare_database(file: Path, locks: Locks) -> None:
    """Have a whole database in the file; raises what the file system, SQLite and MLflow raise."""
    if _is_fine(file):
        return
    with locks.hold(LOCK):
        if not _is_fine(file):  # nobody else made it meanwhile
            _replace(file)


def versions_of(file: Path) -> dict[str, dict[int, str]]:
    """Return a database's registered models, each with its versions and their files' digests; MLflow is not loaded.

    Raises sqlite3.Error where it is no database.
    """
    found: dict[str, dict[int, str]] = {}
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=20)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "model_versions" in tables:
            for name, version, digest in database.execute(_VERSIONS):
                found.setdefault(name, {})[int(version)] = digest or ""
    return found


def _replace(file: Path) -> None:
    """Make a new database under a temporary name, and give it the file's."""
    file.parent.mkdir(parents=True, exist_ok=True)
    for leftover in file.parent.glob(f"{TEMPORARY}{file.name}-*"):
        leftover.unlink(missing_ok=True)
    draft = file.with_name(temporary_name(file.name))
    _make(draft)
    for beside in ("-wal", "-shm", "-journal"):
        file.with_name(file.name + beside).unlink(missing_ok=True)
    draft.replace(file)
    sync_folder(file.parent)


def _make(draft: Path) -> None:
    """Make MLflow's tables in a new file, and leave nothing of it open."""
    from mlflow.store.db.utils import _initialize_tables  # what its stores do on first use; no public name does

    with _engine(draft) as engine:
        _initialize_tables(engine)
    with closing(sqlite3.connect(draft)) as database:
        database.execute("PRAGMA journal_mode=WAL")  # readers go on while one writes; the file stays so


def _is_fine(file: Path) -> bool:
    """Whether a file is to be left as it is: somebody's rows are in it, or it is whole, or it is another program's."""
    if not file.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=20)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            counts = {name: _rows(database, name) for name in tables & _HOLDING.keys()}
    except sqlite3.DatabaseError:
        return True  # MLflow says what is wrong with it
    return any(rows > _HOLDING[name] for name, rows in counts.items()) or (bool(tables) and _is_whole(file))


def _rows(database: sqlite3.Connection, table: str) -> int:
    return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  one of ours, above


def _is_whole(file: Path) -> bool:
    """Whether all tables of the installed MLflow are there, in its revision."""
    from mlflow.store.db import utils

    with _engine(file) as engine:
        revision = utils._get_schema_version(engine)
        return bool(utils._all_tables_exist(engine)) and revision == utils._get_latest_schema_revision()


@contextmanager
def _engine(file: Path) -> Iterator[Any]:
    import sqlalchemy as sa

    engine = sa.create_engine(sa.URL.create("sqlite", database=str(file)), poolclass=sa.NullPool)
    try:
        yield engine
    finally:
        engine.dispose()
