"""Services of a company, spoken to over HTTP: who we are to them, and calls that wait, repeat and fail in plain words.

access.py    how a service knows us: a token, a password, OAuth; secrets from the environment alone
session.py   `Service`: calls with time-outs, retries, renewal of tokens; `Reply`, what it answered
"""
