"""A SQL table read whole, for tests."""

from collections.abc import Sequence

import polars as pl

from factory.connectors.tables.databases.reader import DatabaseReader
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import Narrowing


def reader_of(url: str, table: str) -> DatabaseReader:
    return DatabaseReader(Place(kind="sql", at=url, table=table))


def read(reader: DatabaseReader, columns: Sequence[str] = (), only: Narrowing | None = None) -> pl.DataFrame:
    """Return all rows of some columns, or of all."""
    schema = reader.schema()
    names = list(columns or schema)
    frames = list(reader.batches(names, only or Narrowing()))
    return pl.concat(frames) if frames else pl.DataFrame(schema={name: schema[name] for name in names})
