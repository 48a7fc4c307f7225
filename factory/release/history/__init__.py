"""The history of each site: who promoted, refused, approved, released or rolled back what, when and why.

`History` keeps it, `permissions_of` reads from it what may be released, `findings` tells whether anybody changed it.
"""

from factory.release.history.files import History, Written
from factory.release.history.head import Head
from factory.release.history.permissions import Permissions, permissions_of
from factory.release.history.record import Event, Kind, Record, verdict_digest
from factory.release.history.verify import Finding, findings

__all__ = [
    "Event",
    "Finding",
    "Head",
    "History",
    "Kind",
    "Permissions",
    "Record",
    "Written",
    "findings",
    "permissions_of",
    "verdict_digest",
]
