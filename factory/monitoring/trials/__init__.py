"""A trial as people decide about it: what it answered beside the champion, and what speaks against promoting it.

gathering.py   records of the gateway in, the answers of both sides out, by prediction
figures.py     answers in, figures out; what was earned, once outcomes are known, has the same way in
decisions.py   begin, promote: tried out first, refused with reasons
"""
