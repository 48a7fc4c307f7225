"""Forgetting a person: what a line keeps of one, found by a condition, is removed everywhere; a receipt is kept.

condition.py   who is meant: a text such as `person = 'P-17' and clinic = 'north'`, parsed and never executed
rows.py        the lake: which rows are the person's, and every table without them and without its past
files.py       everything else in the home: the gateway's records, the outbox, models' examples, pages, logs, databases
forgetting.py  the plan, the order in which it is done, and the receipt
"""

from factory.pipeline.forget.condition import conditions, conditions_of_keys
from factory.pipeline.forget.forgetting import Forgetting, Plan

__all__ = ["Forgetting", "Plan", "conditions", "conditions_of_keys"]
