"""The report of a line: one self-contained HTML page a site and one for the line, to look at rather than to read.

    facts.py, gathering.py   what a page knows, and how: from the journal, the lake and the judged holdout
    holdout.py      the judged rows and every model's answers to them, as tasks draw them
    importance.py   by how much the headline worsens when one column is shuffled
    slices.py       the headline by levels of the columns that matter most
    pictures.py     pictures as data; what a task has of its own is in factory/tasks/<task>/pictures.py
    charts.py, planes.py, svg.py   pictures as inline SVG
    panels.py, line_panels.py      the pictures that every page has
    numbers.py      numbers as a person writes them
    site_page.py, line_page.py, templates/   pages
    pages.py        where pages lie, written whole or not at all

A page fetches nothing and runs nothing. Nothing here decides: every figure of merit comes from the verdict.
"""
