"""The contract: what a raw row must satisfy, written as a Great Expectations suite, judged in one Polars pass.

row_condition.py which rows an expectation is about, read from a suite's own text
type_names.py    what pandas, Spark and SQL call a type
kwargs.py        which kwargs each type takes, and that they are sound
row_rules.py     expectations for which a row can be blamed
table_rules.py   expectations for which no row can be blamed
compiler.py      `compile_contract`: expectations in, a `Contract` or a readable error out
contract.py      `Contract`: marks broken rows, measures sites, names the broken rules
result.py        each site's result
data_docs.py     results as Great Expectations Data Docs
"""
