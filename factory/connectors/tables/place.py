"""Where a table is, written in one line of text.

    data/orders.csv, data/orders.csv.gz        a CSV file
    data/orders.parquet, data/orders/*.parquet Parquet: a file, a pattern, or a folder of them
    data/orders                                a folder: Delta if it has a `_delta_log`, Parquet otherwise
    sqlite:///data/shop.db::orders             a SQL table: an SQLAlchemy URL, `::`, the table (`schema.table` too)
    env:SHOP_URL::orders                       the same, the URL in the environment variable SHOP_URL

A relative path is relative to the project: the folder with `definitions.py`. A URL with a password is refused here: it
would end up in a line's file; an environment variable keeps it out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.connectors.tables.files import MEMBER, PACKED, File, members
from factory.errors import SourceError
from factory.errors.masking import has_secret

Kind = Literal["csv", "parquet", "delta", "sql"]
ENVIRONMENT = "env:"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A table's kind, its path or URL, and for SQL the table in the database."""

    kind: Kind
    at: str
    table: str = ""

    @property
    def name(self) -> str:
        """What a person calls the table: its file's or its own name."""
        if self.kind == "sql":
            return self.table
        last = Path(self.at.rstrip("/")).name
        return last.split(".")[0].replace("*", "") or Path(self.at).parent.name


def place_of(text: str, root: Path) -> Place:
    """Return the place that a text names; raises SourceError if it names none or would show a password."""
    at, separator, table = text.rpartition("::")
    if separator:
        return _database(at, table, root)
    if "://" in text:
        return Place(kind="parquet" if ".parquet" in text else "delta", at=text)
    path = (root / text.partition(MEMBER)[0]).absolute()
    if path.is_dir():
        kind: Kind = "delta" if (path / "_delta_log").is_dir() else "parquet"
        return Place(kind=kind, at=str(path if kind == "delta" else path / "**/*.parquet"))
    return Place(kind=_kind_by_name(path, text), at=str((root / text).absolute()))


def files_of(place: Place) -> list[File]:
    """Return the files of a table, by their names; raises SourceError where there are none."""
    at, _, member = place.at.partition(MEMBER)
    path = Path(at)
    if "*" not in at:
        return [File(path=path, member=member, name=f"{path.name}{MEMBER}{member}" if member else path.name)]
    files = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    if not files:
        raise SourceError(f"no file fits {place.at}; mend the pattern in the line's file")
    folder = Path(place.at.partition("*")[0] + "x").parent
    return [File(path=file, name=str(file.relative_to(folder))) for file in files]


def _kind_by_name(path: Path, text: str) -> Kind:
    known: dict[str, Kind] = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet"}
    name = Path(text.rpartition(MEMBER)[2]).name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    kind = known.get(Path(name).suffix)
    if kind is None and path.suffix.lower() == ".zip" and path.is_file():
        kinds = {known.get(Path(member).suffix.lower()) for member in members(path)}
        kind = kinds.pop() if len(kinds) == 1 else None
    if kind is None:
        what = "is no CSV, Parquet or Delta table" if path.exists() else "does not exist"
        raise SourceError(
            f"{text!r} {what}; a table is a .csv, .csv.gz or .parquet file, a folder of Parquet or Delta, "
            "or a SQL table written as URL::table"
        )
    if "*" not in text and not path.is_file():
        raise SourceError(f"there is no file {path}; check the path, which is relative to the project's folder")
    return kind


def _database(at: str, table: str, root: Path) -> Place:
    if not table or not at:
        raise SourceError(f"a SQL table is written as URL::table, such as sqlite:///shop.db::orders, not {at}::{table}")
    if at.startswith(ENVIRONMENT):
        return Place(kind="sql", at=at, table=table)
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(at)
    except ArgumentError as error:
        raise SourceError(f"the database of table {table!r} is no SQLAlchemy URL; write it as dialect://…") from error
    if has_secret(at):
        raise SourceError(
            f"the URL of table {table!r} has a password in it, which must not be written into a line's file: put the "
            f"whole URL into an environment variable, such as TABLE_URL, and say env:TABLE_URL::{table}"
        )
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        file = (root / url.database).absolute()
        if not file.is_file():
            raise SourceError(f"there is no database {file}; check the path, which is relative to the project's folder")
        url = url.set(database=str(file))
    return Place(kind="sql", at=url.render_as_string(hide_password=False), table=table)
