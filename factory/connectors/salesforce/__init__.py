"""Salesforce: objects read as tables, and decisions written to them by an external id.

client.py    `Salesforce`: describe, SOQL page by page, upserts of one record or of 200
jobs.py      Bulk API 2.0: queries of many rows, upserts of many records
objects.py   what describe says of an object and its fields
soql.py      queries, of names that are checked and values that are quoted
values.py    values of JSON and CSV in columns of Polars: one value is the same by either door
reader.py    `SalesforceReader`: an object as a table of a line
"""
