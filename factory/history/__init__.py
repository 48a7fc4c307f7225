"""The history of each site: who promoted, refused, approved, released or rolled back what, when and why.

`History` keeps it, `standing` reads from it what may be released, `findings` tells whether anybody changed it.
"""

from factory.history.files import History, Written
from factory.history.head import Head
from factory.history.record import Event, Kind, Record, verdict_digest
from factory.history.standing import Standing, standing
from factory.history.verify import Finding, findings

__all__ = [
    "Event",
    "Finding",
    "Head",
    "History",
    "Kind",
    "Record",
    "Standing",
    "Written",
    "findings",
    "standing",
    "verdict_digest",
]
