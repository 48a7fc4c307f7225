"""Writes a new line's folder from several tables: the things, what was measured of them, the events to be foreseen.

asked.py      what a person says, and the questions that tables alone cannot answer
joins.py      which column of a table is the key of another
plan.py       all choices: things, site, each table's key and moment, calendar, label
windows.py    the features that the other tables' rows become
line_file.py  defs.yaml and README.md
new_line.py   `new_line_of_tables`: all of it, whole or not at all
"""
