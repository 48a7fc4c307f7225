"""What a service answers in JSON, as a table: page by page, each number as it is written.

pages.py    the pages of a service, one after the other, until there is none; what repeats without end is refused
reader.py   `RestReader`: a table's rows, whole or not at all
"""
