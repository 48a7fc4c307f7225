"""Sources for any table: CSV, Parquet, Delta and SQL, read in batches, in the line's own names and types.

place.py      where a table is: a file, a folder, or a database and the name of a table in it
arguments.py  what a line's file says about one table of a `TableSource`
site_names.py values of a site column → sites
moments.py    the ways to write a date, and the reading of each
values.py     raw values in, values of a declared type out
reader.py     the protocol of a reader
readers.py    files as batches of raw rows
database.py   a SQL table as batches of raw rows
source.py     `TableSource`, which a line's file names as `factory.connectors.tables:TableSource`
"""

from factory.connectors.tables.source import TableSource

__all__ = ["TableSource"]
