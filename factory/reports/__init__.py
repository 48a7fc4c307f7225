"""The report of a line: one self-contained HTML page a site and one for the line, to look at rather than to read.

    facts.py, gathering.py   what a page shows, gathered from the journal, the lake and the judged holdout
    importance.py            by how much the headline worsens when one column is shuffled
    slices.py                the headline by levels of the columns that matter most
    limits.py, sentences.py  the gates as a table, the verdict in sentences
    panels.py, line_panels.py                         the pictures that every page has
    site_page.py, line_page.py, rendering.py, templates/   pages
    folder.py                where pages lie, written whole or not at all
    status.py, notebook.py   the same facts as JSON and as frames

Pictures as data and as SVG are in factory/charts; a task's own are in factory/tasks/<task>/pictures.py. A page fetches
nothing and runs nothing. Nothing here decides: every figure of merit comes from the verdict.
"""
