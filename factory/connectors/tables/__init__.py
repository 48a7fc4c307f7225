"""Sources for any table: files, Delta and SQL, read in batches, under the line's own names, values as they are.

place.py      where a table is: a file, a folder, or a database and the name of a table in it
arguments.py  what a line's file says about one table of a `TableSource`
reader.py     the protocol of a reader
readers.py    which reader a place has
table_files.py       a table in one or many files, file by file; what is wrong with one, as a sentence
files.py             one file, unpacked · remote.py what lies elsewhere, copied
csv_records.py       where records begin and end · csv_text.py blocks of whole records · csv_files.py their fields
json_text.py         values of JSON text · json_records.py, json_lines.py its records · json_files.py batches of them
spreadsheets.py, columnar_files.py, delta_tables.py   the other kinds
databases/    SQL tables as batches of raw rows, by the driver that suits each
source.py     `TableSource`, which a line's file names as `factory.connectors.tables:TableSource`
"""

from factory.connectors.tables.source import TableSource

__all__ = ["TableSource"]
