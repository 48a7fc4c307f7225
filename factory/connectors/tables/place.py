"""Where a table is, written in one line of text.

    data/orders.csv          a file: .csv .tsv .txt · .json .jsonl .ndjson · .xlsx .xls .xlsb .ods · .parquet · .arrow
                             .feather, each also packed as .gz .zst .bz2 .xz or .zip
    exports.zip!orders.csv   one file of a zip with many; book.xlsx!May is one sheet of a workbook
    data/orders/*.csv        a pattern: files of one kind, in the order of their names
    data/orders              a folder: Delta if it has a `_delta_log`, else all its files, which are of one kind
    https://host/orders.csv  the same elsewhere; s3:// gs:// az:// also by pattern and by folder
    env:ORDERS_URL           the address in the environment variable ORDERS_URL
    sqlite:///data/shop.db::orders   a SQL table: an SQLAlchemy URL, `::`, the table (`schema.table` too)
    rest+https://host/api/orders     what a service answers in JSON, page by page
    odata+https://host/service::Orders   an entity set of an OData service, V2 or V4
    salesforce+https://my-org.my.salesforce.com::Account   an object of Salesforce
    mqtt://host:1883::plant/+/telemetry   topics of an MQTT broker; mqtts:// over TLS
    env:SHOP_URL::orders     a table of a database or a service, whose address is in the environment variable SHOP_URL

A relative path is relative to the project: the folder with `definitions.py`. An address with a password is refused
here: it would end up in a line's file; an environment variable keeps it out.
"""

import os
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from factory.connectors.tables import remote
from factory.connectors.tables.files import MEMBER, PACKED, File, members
from factory.errors import SourceError
from factory.errors.masking import ENVIRONMENT, has_secret, keep_secret, masked

Kind = Literal["csv", "json", "excel", "parquet", "arrow", "delta", "sql", "rest", "odata", "salesforce", "mqtt"]
_SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys([".csv", ".tsv", ".tab", ".psv", ".txt"], "csv"),
    **dict.fromkeys([".json", ".jsonl", ".ndjson"], "json"),
    **dict.fromkeys([".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"], "excel"),
    **dict.fromkeys([".parquet", ".pq"], "parquet"),
    **dict.fromkeys([".arrow", ".arrows", ".feather", ".ipc"], "arrow"),
}
_SERVICES: dict[str, Kind] = {"rest": "rest", "odata": "odata", "salesforce": "salesforce"}
"""What stands before the `+` in the address of a service, as in odata+https://…"""
_NAMED_TABLES: dict[Kind, str] = {
    "odata": "an entity set of an OData service is written as odata+https://host/service::Orders",
    "salesforce": "an object of Salesforce is written as salesforce+https://my-org.my.salesforce.com::Account",
    "mqtt": "the topics of an MQTT broker are written as mqtt://host:1883::plant/+/telemetry",
}
"""Services of many tables, and how one of them is written."""
_WHAT_IS_READ = (
    "a table is a file of CSV, JSON, Excel, Parquet or Arrow, packed or not, a folder of them, a folder of Delta, a "
    "SQL table written as URL::table, or what a service gives, as rest+https://…, "
    "odata+https://…::set salesforce+https://…::Account or mqtt://…::topic"
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A table's kind, its path or URL, and the table in a database or a service that has many."""

    kind: Kind
    at: str
    table: str = ""

    @property
    def name(self) -> str:
        """What a person calls the table: its file's or its own name."""
        if self.table:
            return self.table
        last = Path(urlsplit(self.at).path.rstrip("/") if "://" in self.at else self.at.rstrip("/")).name
        return last.split(".")[0].replace("*", "") or Path(self.at).parent.name


def place_of(text: str, root: Path) -> Place:
    """Return the place that a text names; raises SourceError if it names none or would show a password."""
    at, separator, table = text.rpartition("::")
    if not separator:
        at = text
    if _service_of(at) or (
        at.startswith(ENVIRONMENT) and _service_of(os.environ.get(at.removeprefix(ENVIRONMENT), ""))
    ):
        return _service(at, table if separator else "")
    if separator:
        return _database(at, table, root)
    if text.startswith(ENVIRONMENT):
        return _remote(_from_environment(text.removeprefix(ENVIRONMENT)))
    if "://" in text:
        _require_no_secret(text, "")
        return _remote(text)
    return _local(text, root)


def _require_no_secret(address: str, table: str) -> None:
    if has_secret(address):
        variable = f"{ENVIRONMENT}TABLE_URL{'::' * bool(table)}{table}"
        raise SourceError(
            f"the address {masked(address)} has a secret in it, which must not be written into a line's file: put the "
            f"whole address into an environment variable, such as TABLE_URL, and say {variable}"
        )


def _service_of(address: str) -> Kind | None:
    """Return the kind of service at an address; None where it is none."""
    if address.startswith(("mqtt://", "mqtts://")):
        return "mqtt"
    return _SERVICES.get(address.partition("+http")[0])


def _service(at: str, table: str) -> Place:
    """Return a table of a service, its address in the line's file or in a variable of the environment."""
    if at.startswith(ENVIRONMENT):
        at = _from_environment(at.removeprefix(ENVIRONMENT))
    else:
        _require_no_secret(at, table)
    kind = _service_of(at)
    if kind is None or bool(table) != (kind in _NAMED_TABLES):
        raise SourceError(
            f"{masked(at)}{'::' * bool(table)}{table} names no table: {_NAMED_TABLES.get(kind or 'rest', _ONE_TABLE)}"
        )
    return Place(kind=kind, at=at if kind == "mqtt" else at.partition("+")[2], table=table)


_ONE_TABLE = "what a service gives at an address is one table, written as rest+https://host/api/orders"


def _local(text: str, root: Path) -> Place:
    name, bang, member = text.partition(MEMBER)
    path = (root / name).absolute()
    if path.is_dir():
        delta = (path / "_delta_log").is_dir()
        return Place(kind="delta" if delta else _kind_of_folder(_inside(path), text), at=str(path))
    kind = _kind_of(name) if _is_workbook(name) else _kind_of(member) or _kind_of(name)
    if kind is None and path.suffix.lower() == ".zip" and path.is_file():
        kind = _kind_of_folder(members(path), text)
    if kind is None:
        what = f"is not read: {_WHAT_IS_READ}" if path.exists() else f"does not exist; {_WHAT_IS_READ}"
        raise SourceError(f"{text!r} {what}")
    if "*" not in name and not path.is_file():
        raise SourceError(f"there is no file {path}; check the path, which is relative to the project's folder")
    return Place(kind=kind, at=f"{path}{bang}{member}")


def files_of(place: Place) -> list[File]:
    """Return the files of a table, by their names; raises SourceError where there are none."""
    if "://" in place.at:
        return _remote_files(place)
    at, _, member = place.at.partition(MEMBER)
    path = Path(at)
    if path.is_dir():
        names = [name for name in _inside(path) if _kind_of(name) == place.kind]
        return [_within(f"{path}/{name}", name) for name in names]
    if "*" not in at:
        return [File(at=at, member=member, name=f"{path.name}{MEMBER}{member}" if member else path.name)]
    files = sorted(str(file) for file in Path(path.anchor).glob(str(path.relative_to(path.anchor))) if file.is_file())
    if not files:
        raise SourceError(f"no file fits {place.at}; mend the pattern in the line's file")
    folder = Path(at.partition("*")[0] + "x").parent
    return [_within(file, str(Path(file).relative_to(folder))) for file in files]


def _within(at: str, name: str) -> File:
    """Return a file of a folder; its path may name columns, as in plant=Ulm/1.parquet."""
    pairs = [part.partition("=") for part in Path(name).parts[:-1]]
    values = {key: None if value == _NO_VALUE else unquote(value) for key, sign, value in pairs if sign and key}
    return File(at=at, name=name, partition=values)


_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def _inside(folder: Path) -> list[str]:
    """Return the names of the files in a folder, but for hidden ones and those that a writer has not finished."""
    names = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return sorted(str(name) for name in names if not any(part.startswith((".", "_")) for part in name.parts))


def _kind_of(name: str) -> Kind | None:
    """Return what a file's name says it is, packed or not."""
    plain = name.lower()
    for packed in PACKED:
        plain = plain.removesuffix(packed)
    return _SUFFIXES.get(Path(plain).suffix)


def _is_workbook(name: str) -> bool:
    return Path(name).suffix.lower() in _SUFFIXES and _kind_of(name) == "excel"


def _kind_of_folder(names: list[str], text: str) -> Kind:
    kinds = {kind for name in names if (kind := _kind_of(name)) and not name.lower().endswith(".txt")}
    kinds = kinds or {kind for name in names if (kind := _kind_of(name))}
    if len(kinds) == 1:
        return kinds.pop()
    what = f"has files of {', '.join(sorted(kinds))}" if kinds else "has no file that is read"
    raise SourceError(f"{text!r} {what}; name those of one kind by a pattern, such as {text.rstrip('/')}/*.csv")


def _from_environment(name: str) -> str:
    address = os.environ.get(name, "")
    if "://" not in address:
        raise SourceError(f"the environment variable {name} holds no address; put the table's into it, https://… say")
    keep_secret(address)
    return address


def _remote(address: str) -> Place:
    path = urlsplit(address).path
    kind = _kind_of(path.rpartition(MEMBER)[2])
    if kind is None and not address.startswith(("http://", "https://")):
        kind = "delta" if remote.has_folder(address, "_delta_log") else _kind_of_folder(remote.listed(address), address)
    if kind is None:
        raise SourceError(f"{masked(address)} does not say what it is: its path must end as in /orders.csv")
    return Place(kind=kind, at=address)


def _remote_files(place: Place) -> list[File]:
    address, _, member = place.at.partition(MEMBER)
    path = urlsplit(address).path
    if "*" in path:
        folder, _, _ = address.partition("*")[0].rpartition("/")
        pattern = address.removeprefix(folder + "/")
        names = [name for name in remote.listed(folder) if fnmatch(name, pattern)]
    elif _kind_of(path) is None and not member:
        folder, names = address.rstrip("/"), [name for name in remote.listed(address) if _kind_of(name) == place.kind]
    else:
        name = unquote(Path(path).name)
        return [File(at=address, member=member, name=f"{name}{MEMBER}{member}" if member else name)]
    if not names:
        raise SourceError(f"no file fits {masked(address)}; mend it in the line's file")
    return [_within(f"{folder}/{name}", name) for name in sorted(names)]


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
