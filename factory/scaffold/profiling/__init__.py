"""What a table holds, found in two streaming passes of bounded memory, whatever the table's size.

shapes.py       first pass: the type of each column, and how its dates and missing values are written
counting.py     second pass: nulls, ranges, values and distinct values of each column
sampling.py     and a sample of whole rows, the same one every time
order.py        and whether time goes forward
task.py         what kind of answer the target asks for
association.py  how well one column alone tells the target, measured on rows it was not learned from
suspects.py     columns that may be leaks or personal data
profile.py      `profiled`: all of it together, as a `Profile`
"""
