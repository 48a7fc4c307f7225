"""Tables written to a folder, and read from there."""

from pathlib import Path

import polars as pl

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.place import place_of
from factory.connectors.tables.reader import Narrowing
from factory.connectors.tables.readers import reader_of
from factory.storage.columns import FILE, LINE, UNPARSED


def batches_in(folder, at, columns=None, only=None, row_number="", **said):
    """Return the batches of a table's columns, all of them unless they are named."""
    reader = reader_of(place_of(at, Path(folder)), TableAt(at=at, **said))
    columns = list(reader.schema()) if columns is None else columns
    return list(reader.batches(columns, only or Narrowing(), row_number))


def rows_in(folder, at, columns=None, only=None, **said):
    """Return a table's rows, with what is told of them."""
    batches = batches_in(folder, at, columns, only, **said)
    return pl.concat(batches, how="diagonal") if batches else pl.DataFrame()


def values_in(folder, at, columns=None, **said):
    """Return a table's rows without what is told of them."""
    rows = rows_in(folder, at, columns, **said)
    return rows.drop({FILE, LINE, UNPARSED} & set(rows.columns)).rows()
