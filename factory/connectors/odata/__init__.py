"""Services that speak OData, V4 and V2 as SAP speaks them: entity sets as tables, values as exact texts.

metadata.py   `$metadata` → entity sets, their keys and properties
values.py     a property's values: as JSON gives them → texts; texts → literals of a URL
queries.py    what is asked of an entity set: `$filter` of wanted rows, and of those after the last key
service.py    one service: its metadata, counts and pages, in both versions
reader.py     `ODataReader`: an entity set's rows, counted by the service before and after
"""
