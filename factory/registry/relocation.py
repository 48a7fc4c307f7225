"""A home that was moved: MLflow's database keeps whole paths of files, and is put right when it is opened.

MLflow writes the folder of each experiment, run, model and version into its database, from the root. In a home that was
renamed, copied, or brought back from a backup at another place those name the old place: files would be written there,
or nowhere. SQLite's databases are a home's own, so theirs are put right, all of a home in one transaction; a tracking
server, and a database that several machines share, keep what they say.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow keeps the places of files."""
_DEFAULT = 0
"""The number of MLflow's own experiment."""
_WAIT_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Misplaced:
    """An experiment whose files are in this home and that names them at another place."""

    experiment: str
    stored: str
    """Its folder as the database has it: a path or a `file:` address."""
    folder: Path
    """Where it is in this home."""
    is_default: bool = False
    """Whether it is MLflow's own, which a new database has in the working folder of whoever made it."""

    def __str__(self) -> str:
        """Return it for a person."""
        return f"{self.experiment} at {_path(self.stored)} instead of {self.folder}"


def misplaced(database: Path, root: Path) -> list[Misplaced]:
    """Return the experiments that name another place for their files than `root`, the home's folder of them.

    Files that are at the other place and not in this home are there because somebody wanted them there: they are none.
    """
    if not database.is_file():
        return []
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)) as connection:
        return list(_misplaced(connection, root))


def relocate(database: Path, root: Path) -> list[Misplaced]:
    """Have the database name the files in `root`, in one transaction; return what named another place before.

    Raises sqlite3.Error where the database cannot be written.
    """
    if not misplaced(database, root):
        return []
    with closing(sqlite3.connect(database, timeout=_WAIT_S, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        moved = list(_misplaced(connection, root))  # as it is now: another process may have put it right
        for experiment in moved:
            for table, column in _COLUMNS:
                _move(connection, table, column, experiment)
        connection.execute("COMMIT")
    return moved


def _misplaced(connection: sqlite3.Connection, root: Path) -> Iterator[Misplaced]:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'experiments'").fetchone():
        return
    for number, name, stored in connection.execute("SELECT experiment_id, name, artifact_location FROM experiments"):
        place = _path(stored)
        if place is not None and place.name in (name, str(number)):
            folder = root / place.name
            if _is_moved(place, folder, is_default=number == _DEFAULT):
                yield Misplaced(experiment=name, stored=stored, folder=folder, is_default=number == _DEFAULT)


def _is_moved(place: Path, folder: Path, *, is_default: bool) -> bool:
    """Whether an experiment's files, said to be at `place`, are in `folder`, or would be if there were any.

    MLflow's own experiment, which it makes for whoever names none, is in the working folder of that moment.
    """
    if place == folder:
        return False
    is_of_a_home = is_default or place.parent.name == folder.parent.name
    return _is_folder(folder) or (is_of_a_home and not _is_folder(place))


def _is_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except OSError:  # on the way is what may not be looked at
        return False


def _path(stored: str | None) -> Path | None:
    """Return the folder of an address; None for one of an object store or a server."""
    if not stored:
        return None
    if stored.startswith("file:"):
        return Path(unquote(stored.removeprefix("file://").removeprefix("file:")))
    return None if "://" in stored or stored.startswith("mlflow-artifacts:") else Path(stored)


def _move(connection: sqlite3.Connection, table: str, column: str, experiment: Misplaced) -> None:
    """Give every place below the experiment's old folder its place below the new one."""
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    if column not in columns:  # another release of MLflow
        return
    old = experiment.stored.rstrip("/")
    rows = connection.execute(
        f"SELECT DISTINCT {column} FROM {table} WHERE {column} = ?1 OR substr({column}, 1, length(?1) + 1) = ?1 || '/'",  # noqa: S608  the names are this module's own
        (old,),
    ).fetchall()
    for (place,) in rows:
        rest = place.removeprefix(old)
        now = f"{experiment.folder}{unquote(rest) if old.startswith('file:') else rest}"
        connection.execute(f"UPDATE {table} SET {column} = ?1 WHERE {column} = ?2", (now, place))  # noqa: S608
