"""How a source writes its values, as a line's file says it, and the reading of each as its declared type.

parse.py    the section `parse` of a table
values.py   a raw value in, a value of the declared type out, or a misfit: never a guess
moments.py  the ways to write a date or a moment, and the reading of each
"""

from factory.line.parsing.parse import Parse
from factory.line.parsing.values import is_given, read, value_of

__all__ = ["Parse", "is_given", "read", "value_of"]
