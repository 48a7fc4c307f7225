"""Writes a new line's folder from the profile of a table.

texts.py          values as Python, YAML and prose, so that nothing in a table can become code
features.py       which features the columns become, each with its expression
plan.py           all other choices: key, cursor, split, task, gates, money
python_files.py   clean.py and features.py
contract_file.py  the Great Expectations suite, fitted with margins
line_file.py      defs.yaml
readme_file.py    README.md: what was found, and what a person must decide
line_folder.py    the new folder, written whole or not at all
new_line.py       `new_line`: a line of one table
several/          a line of several tables: their joins, a calendar of decisions, windows
"""
