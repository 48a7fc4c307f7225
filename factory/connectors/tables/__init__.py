"""Sources for any table: CSV, Parquet, Delta and SQL, read in batches, under the line's own names, values as they are.

place.py      where a table is: a file, a folder, or a database and the name of a table in it
arguments.py  what a line's file says about one table of a `TableSource`
reader.py     the protocol of a reader
readers.py    files as batches of raw rows
databases/    SQL tables as batches of raw rows, by the driver that suits each
source.py     `TableSource`, which a line's file names as `factory.connectors.tables:TableSource`
"""

from factory.connectors.tables.source import TableSource

__all__ = ["TableSource"]
