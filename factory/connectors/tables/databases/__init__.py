"""SQL tables as batches of raw rows: nothing lost, nothing changed, values bound and never written into SQL.

columns.py    one column of a table: the type its values come as, and the SQL expressions that ask for them
queries.py    what is asked of a table: its rows, the newest of each site
counts.py     what the database counts, against what came
texts.py      values as Python's drivers give them → columns of Polars, exactly
database.py   the protocol of a connection, and which driver opens which URL
postgresql.py PostgreSQL in Arrow batches, by ADBC
sqlite.py     SQLite by the standard library; its columns have no types, so every value comes as text
others.py     MySQL, MariaDB, Microsoft SQL Server and every other dialect, by SQLAlchemy
faults.py     what drivers say when they fail → table, what is wrong, what to do
reader.py     `DatabaseReader`: a table's rows, each load counted by the database itself
"""
